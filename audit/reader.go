// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package audit

import (
	"errors"
	"fmt"

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
	client, err := libaudit.NewAuditClient(nil)
	if err != nil {
		return fmt.Errorf("audit: opening the netlink socket: %w", err)
	}
	// Not its Close, which also answers for the audit daemon's registration.
	defer client.Netlink.Close()
	err = do(client)
	if err == nil || errors.Is(err, ErrDisabled) {
		return err
	}
	return fmt.Errorf("audit: asking the kernel: %w: it answers in the initial PID, user and network namespace only, with CAP_AUDIT_CONTROL", err)
}

// Reader receives records. It is one of any number of listeners, and does not
// take records away from an audit daemon.
type Reader struct{ client *libaudit.AuditClient }

// Open joins the multicast group AUDIT_NLGRP_READLOG, which needs CAP_AUDIT_READ
// and delivers in the initial network namespace only.
func Open() (*Reader, error) {
	client, err := libaudit.NewMulticastAuditClient(nil)
	if err != nil {
		return nil, fmt.Errorf("audit: joining the multicast group of the log: %w: it needs CAP_AUDIT_READ", err)
	}
	return &Reader{client}, nil
}

// Next waits for a record. lost says that records before it were lost, because
// they came faster than they were read.
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
