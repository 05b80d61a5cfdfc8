// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package netns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Offsets in struct bpf_sk_lookup of linux/bpf.h.
const (
	offsetFamily   = 8
	offsetProtocol = 12
	offsetLocal4   = 40
	offsetLocal6   = 44
)

// What a program of the socket lookup answers, enum sk_action: to pass is to use the
// socket that it has assigned, or else to look for one as without a program.
const (
	drop = 0
	pass = 1
)

// chooseListener has TCP connections to each address of the namespace end at one
// listening socket, but for loopback and the task's own addresses. That lasts as long
// as the file is open.
func chooseListener(namespace, listener *os.File, own []netip.Addr) (*os.File, error) {
	sockets, err := ebpf.NewMap(&ebpf.MapSpec{Name: "harn_egress", Type: ebpf.SockMap, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		return nil, fmt.Errorf("bpf(BPF_MAP_CREATE): %w%s", err, hint(err))
	}
	defer sockets.Close()
	if err := sockets.Put(uint32(0), uint64(listener.Fd())); err != nil {
		return nil, fmt.Errorf("bpf(BPF_MAP_UPDATE_ELEM): %w", err)
	}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "harn_egress", Type: ebpf.SkLookup, AttachType: ebpf.AttachSkLookup,
		License: "MPL-2.0", Instructions: choose(sockets.FD(), own),
	})
	if err != nil {
		return nil, fmt.Errorf("bpf(BPF_PROG_LOAD): %w%s", err, hint(err))
	}
	defer program.Close()
	attached, err := link.AttachNetNs(int(namespace.Fd()), program)
	if err != nil {
		return nil, fmt.Errorf("bpf(BPF_LINK_CREATE): %w%s", err, hint(err))
	}
	defer attached.Close()
	// The library's own closes the descriptor; this one is handed over.
	fd, err := unix.FcntlInt(uintptr(attached.FD()), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "socket lookup"), nil
}

func hint(err error) string {
	switch {
	case errors.Is(err, unix.EPERM):
		return " (the agent needs CAP_BPF and CAP_NET_ADMIN)"
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL), errors.Is(err, ebpf.ErrNotSupported):
		return " (the kernel needs CONFIG_BPF_SYSCALL and CONFIG_INET)"
	}
	return ""
}

// choose is the program.
func choose(sockets int, own []netip.Addr) asm.Instructions {
	const asBefore, six, assign, out = "as before", "IPv6", "assign", "out"
	word := func(of []byte) int32 { return int32(binary.NativeEndian.Uint32(of)) }
	code := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R2, asm.R6, offsetProtocol, asm.Word),
		asm.JNE.Imm(asm.R2, unix.IPPROTO_TCP, asBefore),
		asm.LoadMem(asm.R2, asm.R6, offsetFamily, asm.Word),
		asm.JEq.Imm(asm.R2, unix.AF_INET6, six),
		asm.LoadMem(asm.R2, asm.R6, offsetLocal4, asm.Word),
	}
	for _, address := range own {
		if address.Is4() {
			code = append(code, asm.JEq.Imm32(asm.R2, word(address.AsSlice()), asBefore))
		}
	}
	code = append(code,
		asm.And.Imm32(asm.R2, word([]byte{0xff, 0, 0, 0})),
		asm.JEq.Imm32(asm.R2, word([]byte{127, 0, 0, 0}), asBefore),
		asm.Ja.Label(assign),
	)
	// Each address is compared word by word, until one differs.
	start := six
	for i, address := range append([]netip.Addr{netip.IPv6Loopback()}, own...) {
		if !address.Is6() {
			continue
		}
		next := fmt.Sprintf("not address %d", i)
		bytes := address.As16()
		for w := range int16(4) {
			load := asm.LoadMem(asm.R2, asm.R6, offsetLocal6+4*w, asm.Word)
			if w == 0 {
				load = load.WithSymbol(start)
			}
			code = append(code, load, asm.JNE.Imm32(asm.R2, word(bytes[4*w:]), next))
		}
		code, start = append(code, asm.Ja.Label(asBefore)), next
	}
	code = append(code,
		asm.Mov.Imm(asm.R2, 0).WithSymbol(start), // where the last comparison leads to
		asm.StoreImm(asm.RFP, -4, 0, asm.Word).WithSymbol(assign),
		asm.LoadMapPtr(asm.R1, sockets),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, asBefore), // the socket is closed
		asm.Mov.Reg(asm.R7, asm.R0),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Reg(asm.R2, asm.R0),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnSkAssign.Call(),
		asm.Mov.Reg(asm.R8, asm.R0),
		asm.Mov.Reg(asm.R1, asm.R7),
		asm.FnSkRelease.Call(),
		asm.Mov.Imm(asm.R0, drop),
		asm.JNE.Imm(asm.R8, 0, out),
		asm.Mov.Imm(asm.R0, pass).WithSymbol(asBefore),
		asm.Return().WithSymbol(out),
	)
	return code
}
