// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/burin-labs/nomad-driver-harn/egress/rule"
)

// nameServer answers the task's questions. It asks nobody: so that a name is asked for
// says nothing to anybody outside.
type nameServer struct {
	rules  *rule.Set
	table  *table
	ipv6   bool
	report func(Event)
}

const (
	// timeToLive is in seconds. An address stays its name's for longer, as long as the
	// name is among the last used ones.
	timeToLive = 60
	// mostOfPacket is what the server takes and sends by UDP, in bytes.
	mostOfPacket = 1232
	// streamIdle is how long a connection may keep silent.
	streamIdle = 10 * time.Second
)

// servePackets answers until the socket is closed.
func (s *nameServer) servePackets(conn net.PacketConn) error {
	packet := make([]byte, mostOfPacket+1)
	for {
		n, from, err := conn.ReadFrom(packet)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			// What the kernel says of an answer that nobody took.
			time.Sleep(time.Millisecond)
			continue
		}
		if answer := s.answer(packet[:n]); answer != nil {
			_, _ = conn.WriteTo(answer, from)
		}
	}
}

// serveStreams answers until the socket is closed.
func (s *nameServer) serveStreams(listener *net.TCPListener) error {
	free := make(chan struct{}, mostStreams)
	for {
		free <- struct{}{}
		conn, err := accept(listener)
		if err != nil {
			return err
		}
		go func() {
			defer func() { <-free }()
			defer conn.Close()
			s.serveStream(conn)
		}()
	}
}

func (s *nameServer) serveStream(conn *net.TCPConn) {
	for {
		if err := conn.SetDeadline(time.Now().Add(streamIdle)); err != nil {
			return
		}
		packet, err := readStream(conn, mostOfPacket)
		if err != nil {
			return
		}
		answer := s.answer(packet)
		if answer == nil {
			return
		}
		if _, err := conn.Write(streamed(answer)); err != nil {
			return
		}
	}
}

// streamed is a packet as a stream has it: behind its length.
func streamed(packet []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
}

// readStream reads a packet of a stream, unless it is longer than most.
func readStream(conn io.Reader, most int) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(length[:]))
	if n > most {
		return nil, fmt.Errorf("a packet of %d bytes, expected at most %d", n, most)
	}
	packet := make([]byte, n)
	_, err := io.ReadFull(conn, packet)
	return packet, err
}

// answer is what to answer to a packet, nil for nothing: to what is no question at all,
// and to answers, which would make two servers talk forever.
func (s *nameServer) answer(packet []byte) []byte {
	var p dnsmessage.Parser
	header, err := p.Start(packet)
	if err != nil || header.Response {
		return nil
	}
	reply := dnsmessage.Header{
		ID: header.ID, Response: true, OpCode: header.OpCode, RecursionDesired: header.RecursionDesired, RecursionAvailable: true,
	}
	question, extended, code := readQuestion(&p, header, len(packet))
	reply.RCode = code
	var answers []netip.Addr
	if code == dnsmessage.RCodeSuccess {
		reply.Authoritative = true
		answers, reply.RCode = s.lookUp(question)
	}
	built, err := build(reply, question, answers, extended)
	if err != nil {
		return nil
	}
	return built
}

// readQuestion reads the one question of a packet.
func readQuestion(p *dnsmessage.Parser, header dnsmessage.Header, length int) (q *dnsmessage.Question, extended bool, code dnsmessage.RCode) {
	if header.OpCode != 0 {
		return nil, false, dnsmessage.RCodeNotImplemented
	}
	asked, err := p.Question()
	if err != nil || length > mostOfPacket {
		return nil, false, dnsmessage.RCodeFormatError
	}
	if _, err := p.Question(); !errors.Is(err, dnsmessage.ErrSectionDone) {
		return nil, false, dnsmessage.RCodeFormatError
	}
	if p.SkipAllAnswers() != nil || p.SkipAllAuthorities() != nil {
		return &asked, false, dnsmessage.RCodeFormatError
	}
	for {
		h, err := p.AdditionalHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			break
		}
		if err != nil {
			return &asked, extended, dnsmessage.RCodeFormatError
		}
		extended = extended || h.Type == dnsmessage.TypeOPT
		if err := p.SkipAdditional(); err != nil {
			return &asked, extended, dnsmessage.RCodeFormatError
		}
	}
	if asked.Class != dnsmessage.ClassINET && asked.Class != dnsmessage.ClassANY {
		return &asked, extended, dnsmessage.RCodeRefused
	}
	return &asked, extended, dnsmessage.RCodeSuccess
}

// lookUp answers a question. A name that is not admitted does not exist; one that is
// has addresses, and nothing else.
func (s *nameServer) lookUp(q *dnsmessage.Question) ([]netip.Addr, dnsmessage.RCode) {
	text := q.Name.String()
	name, ok := rule.Name(text)
	if !ok {
		s.report(Event{Name: strings.TrimSuffix(text, "."), Reason: "it is no name of a host"})
		return nil, dnsmessage.RCodeNameError
	}
	if v := s.rules.Lookup(name); !v.Admitted {
		s.report(Event{Name: name, Reason: v.Reason, second: q.Type == dnsmessage.TypeAAAA})
		return nil, dnsmessage.RCodeNameError
	}
	if q.Type != dnsmessage.TypeA && (q.Type != dnsmessage.TypeAAAA || !s.ipv6) {
		return nil, dnsmessage.RCodeSuccess
	}
	four, six, ok := s.table.address(name)
	switch {
	case !ok:
		return nil, dnsmessage.RCodeServerFailure
	case q.Type == dnsmessage.TypeA:
		return []netip.Addr{four}, dnsmessage.RCodeSuccess
	}
	return []netip.Addr{six}, dnsmessage.RCodeSuccess
}

// build makes a packet, with or without a question; extended is with EDNS (RFC 6891).
func build(header dnsmessage.Header, q *dnsmessage.Question, answers []netip.Addr, extended bool) ([]byte, error) {
	b := dnsmessage.NewBuilder(make([]byte, 0, 512), header)
	b.EnableCompression()
	err := b.StartQuestions()
	if q != nil && err == nil {
		err = b.Question(*q)
	}
	if err == nil {
		err = b.StartAnswers()
	}
	for _, address := range answers {
		h := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: timeToLive}
		if err != nil {
			break
		}
		if address.Is4() {
			err = b.AResource(h, dnsmessage.AResource{A: address.As4()})
		} else {
			err = b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: address.As16()})
		}
	}
	if extended && err == nil {
		if err = b.StartAdditionals(); err == nil {
			var h dnsmessage.ResourceHeader
			if err = h.SetEDNS0(mostOfPacket, header.RCode, false); err == nil {
				err = b.OPTResource(h, dnsmessage.OPTResource{})
			}
		}
	}
	if err != nil {
		return nil, err
	}
	return b.Finish()
}
