// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package audit

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/elastic/go-libaudit/v2"
	"golang.org/x/sys/unix"
)

// ErrDisabled is returned where auditing is switched off.
var ErrDisabled = errors.New("auditing is disabled on this host: enable it (auditctl -e 1, or audit=1 on the kernel's command line)")

// Enabled returns nil if the kernel writes audit records, [ErrDisabled] if that
// is switched off, and another error if it cannot be asked: without CAP_AUDIT_CONTROL,
// outside of the initial PID or user namespace, or without audit in the kernel.
func Enabled() error {
	return control(func(client *libaudit.AuditClient) error {
		status, err := client.GetStatus()
		if err == nil && status.Enabled == 0 {
			return ErrDisabled
		}
		return err
	})
}

// Enable switches auditing on, for the whole host and until somebody switches
// it off.
func Enable() error {
	return control(func(client *libaudit.AuditClient) error {
		return client.SetEnabled(true, libaudit.WaitForReply)
	})
}

func control(do func(*libaudit.AuditClient) error) error {
	socket, err := connect(unix.NETLINK_AUDIT, libaudit.NetlinkGroupNone)
	if err != nil {
		return fmt.Errorf("audit: opening the netlink socket: %w", err)
	}
	defer func() { _ = socket.Close() }()
	err = do(&libaudit.AuditClient{Netlink: socket})
	if err == nil || errors.Is(err, ErrDisabled) {
		return err
	}
	return fmt.Errorf("audit: asking the kernel: %w: it answers in the initial PID, user and network namespace only, with CAP_AUDIT_CONTROL", err)
}

// socket is a netlink socket that receives what the kernel sends, and passes over what
// others send to its port or its group, as who has CAP_NET_ADMIN can.
type socket struct{ *libaudit.NetlinkClient }

// longest is the size of the longest message.
const longest = unix.NLMSG_HDRLEN + libaudit.AuditMessageMaxLength

func connect(protocol int, groups uint32) (socket, error) {
	client, err := libaudit.NewNetlinkClient(protocol, groups, make([]byte, longest), nil)
	return socket{client}, err
}

// Receive returns the kernel's next message, or an error of the system call.
func (s socket) Receive(nonBlocking bool, parse libaudit.NetlinkParser) ([]syscall.NetlinkMessage, error) {
	for {
		messages, err := s.NetlinkClient.Receive(nonBlocking, parse)
		// Of another sender, or too short, the client says without an errno.
		if err == nil || errors.As(err, new(unix.Errno)) {
			return messages, err
		}
	}
}

// Reader receives records. It is one of any number of listeners, and does not
// take records away from an audit daemon.
type Reader struct {
	protocol int
	groups   uint32
	client   *libaudit.AuditClient
}

// Open joins the multicast group AUDIT_NLGRP_READLOG, which needs CAP_AUDIT_READ
// and delivers in the initial network namespace only.
func Open() (*Reader, error) { return open(unix.NETLINK_AUDIT, libaudit.NetlinkGroupReadLog) }

func open(protocol int, groups uint32) (*Reader, error) {
	r := &Reader{protocol: protocol, groups: groups}
	if err := r.connect(); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Reader) connect() error {
	socket, err := connect(r.protocol, r.groups)
	if err != nil {
		return fmt.Errorf("audit: joining the multicast group of the log: %w: it needs CAP_AUDIT_READ", err)
	}
	r.client = &libaudit.AuditClient{Netlink: socket}
	return nil
}

// Reopen begins anew after an error of [Reader.Next]. If it fails, it can be called again.
func (r *Reader) Reopen() error {
	r.Close()
	return r.connect()
}

// Close leaves the group. A reader that is closed can be opened again.
func (r *Reader) Close() {
	if r.client != nil {
		_ = r.client.Netlink.Close()
		r.client = nil
	}
}

// Next waits for a record. lost says that records before it were lost, because
// they came faster than they were read. An error is of the socket, which is to be opened
// again.
func (r *Reader) Next() (kind uint16, text string, lost bool, err error) {
	for {
		message, err := r.client.Receive(false)
		switch {
		case err == nil:
			return uint16(message.Type), string(message.Data), lost, nil
		case errors.Is(err, unix.ENOBUFS):
			lost = true
		case !errors.Is(err, unix.EINTR):
			return 0, "", lost, fmt.Errorf("audit: receiving: %w", err)
		}
	}
}
