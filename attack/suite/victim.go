// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"unsafe"

	"golang.org/x/sys/unix"
)

// victim is a process on the host, of the same user as the tasks, and what it
// has that they must not reach. It prints where that is, as environment
// variables of attacks, and waits.
func victim() error {
	secret := append([]byte(token+"in memory"), 0)
	kept = append(kept, &secret[0])
	found := map[string]string{
		"HOST_PID":  fmt.Sprint(os.Getpid()),
		"HOST_ADDR": fmt.Sprint(uintptr(unsafe.Pointer(&secret[0]))),
	}
	f, err := os.Open(at("SECRET"))
	if err != nil {
		return err
	}
	defer f.Close()
	found["HOST_FD"] = fmt.Sprint(f.Fd())
	// Any process of the user may trace this one, where Yama would forbid it.
	_ = unix.Prctl(unix.PR_SET_PTRACER, ^uintptr(0), 0, 0, 0)

	for range 50 { // so that the next identifier is none that another namespace gives out
		id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 4096, unix.IPC_CREAT|0o600)
		if err == nil {
			_, err = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
		}
		if err != nil {
			return fmt.Errorf("shmget: %w", err)
		}
	}
	for _, name := range []string{"SHM_ID", "SHM_ID_REMOVE"} {
		key := unix.IPC_PRIVATE
		if name == "SHM_ID" {
			key = atInt("SHM_KEY")
		}
		id, err := unix.SysvShmGet(key, 4096, unix.IPC_CREAT|0o666)
		if err != nil {
			return fmt.Errorf("shmget: %w", err)
		}
		segment, err := unix.SysvShmAttach(id, 0, 0)
		if err != nil {
			return fmt.Errorf("shmat: %w", err)
		}
		copy(segment, token)
		found[name] = fmt.Sprint(id)
	}
	queue, err := call(unix.SYS_MSGGET, uintptr(atInt("MSG_KEY")), unix.IPC_CREAT|0o666)
	if err != nil {
		return fmt.Errorf("msgget: %w", err)
	}
	for range 8 { // one for each run
		message := struct {
			kind int64
			text [16]byte
		}{kind: 1}
		copy(message.text[:], token)
		if err := do(unix.SYS_MSGSND, queue, uintptr(unsafe.Pointer(&message)), 16, 0); err != nil {
			return fmt.Errorf("msgsnd: %w", err)
		}
	}
	if err := do(unix.SYS_SEMGET, uintptr(atInt("SEM_KEY")), 1, unix.IPC_CREAT|0o666); err != nil {
		return fmt.Errorf("semget: %w", err)
	}
	if err := makeQueue(at("MQUEUE")); err != nil && !errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("mq_open: %w", err)
	}
	if err := os.WriteFile("/dev/shm/"+at("POSIX_SHM"), []byte(token), 0o666); err != nil {
		return err
	}
	makeKeys()
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		return err
	}
	os.Stdout.Close()
	end := make(chan os.Signal, 1)
	signal.Notify(end, unix.SIGTERM)
	<-end
	_ = os.Remove("/dev/shm/" + at("POSIX_SHM"))
	return nil
}

func makeQueue(name string) error {
	attr := [8]int64{1: 8, 2: 64} // mq_maxmsg, mq_msgsize
	fd, err := call(unix.SYS_MQ_OPEN, ptr(name), unix.O_CREAT|unix.O_RDWR, 0o666, uintptr(unsafe.Pointer(&attr)))
	if err != nil {
		return err
	}
	message := []byte(token)
	for range 8 {
		if err := do(unix.SYS_MQ_TIMEDSEND, fd, uintptr(unsafe.Pointer(&message[0])), uintptr(len(message)), 0, 0); err != nil {
			return err
		}
	}
	return nil
}

// makeKeys puts a key into the user's keyring, and into a named session
// keyring. A kernel without keys has none to steal.
func makeKeys() {
	const userKeyring, sessionKeyring = -4, -3
	_, _ = unix.AddKey("user", at("KEY"), []byte(token), userKeyring)
	if _, err := call(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, ptr(at("KEY_SESSION"))); err != nil {
		return
	}
	_, _ = unix.AddKey("user", at("KEY"), []byte(token), sessionKeyring)
	const allForUser = 0x3f3f0000
	if ring, err := unix.KeyctlGetKeyringID(sessionKeyring, false); err == nil {
		_ = unix.KeyctlSetperm(ring, allForUser)
	}
}
