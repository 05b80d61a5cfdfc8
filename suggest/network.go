// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package suggest

import (
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/burin-labs/nomad-driver-harn/audit"
)

// notPermitted is the system's message for EPERM, which is what sockets of a network
// answer below level network, also in other languages that are common.
const notPermitted = `(?:(?i:operation not permitted|die operation ist nicht erlaubt|opération non permise|operación no permitida|operazione non permessa|` + //nolint:misspell // French
	`operação não permitida|bewerking niet toegestaan|операция не позволена|許可されていない操作です|不允许的操作))`

// sockets are the forms of what programs say that may have no socket. Those that name
// a port have it in their group.
var sockets = sync.OnceValue(func() (s struct{ connect, bind, other []*regexp.Regexp }) {
	const host = `\S*` // also in brackets, or none, or *
	s.connect = compile(
		`\bconnect EPERM `+host+`:(\d+)\b`, // node
		`/dev/tcp/[^/\s]+/(\d+): `+notPermitted,
		`\bdial tcp[46]? `+host+`:(\d+): socket: `+notPermitted,                    // Go
		`", port (\d+) failed: could not create socket: `+notPermitted,             // PostgreSQL
		`Could not connect to Redis at \S+:(\d+): .{0,40}`+notPermitted,            // its client
		`Failed to connect to \S+ port (\d+) .{0,40}[Cc]ould ?n.t connect`,         // curl
		`connect to (?:host|address) \S+ port (\d+): (?:failure|`+notPermitted+`)`, // ssh
	)
	s.bind = compile(
		`\blisten EPERM: .{1,40} `+host+`:(\d+)\b`,
		`\blisten tcp[46]? `+host+`:(\d+): socket: `+notPermitted,
		`\[emerg\].* socket\(\) `+host+`:(\d+) failed \(1: `+notPermitted, // nginx
		`listening socket `+host+`:(\d+): .{0,40}errno: 1\b`,              // Redis
	)
	s.other = compile(
		`(?i:socket|urlopen error)\S{0,4}.{0,60}[:( ]`+notPermitted,
		`\b(?:listen|connect|bind) EPERM\b`,
		`\[Errno 1\] .{0,40}(?i:socket|connect)|(?i:socket|connect).{0,60}\[Errno 1\]`,
		`: errno=`+notPermitted, // git
		`/dev/udp/\S+: `+notPermitted,
		// A name is looked up by a socket, too.
		`\bEAI_AGAIN\b|(?i:temporary failure (?:in name resolution|resolving)|could not resolve host|name or service not known|getaddrinfo failed)`,
	)
	return s
})

// A traceback of Python's names what it called two lines or three above the error.
var (
	inSocket     = regexp.MustCompile(`^\s*File ".*/(?:socket|asyncio/\w+)\.py", line `)
	pythonDenied = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(?:\w+\.)?PermissionError: \[Errno 1\] `) })
)

const traceback = 3

// socketReader finds in the lines of a log that a socket was denied.
type socketReader struct {
	found []audit.Denial
	// unnamed: the line before says that a socket was denied, and names no port.
	unnamed bool
	// behind is how many lines may still be of a traceback in Python's socket module.
	behind int
}

// read looks at a line. A line without a port that stands above one with a port, is
// about the same.
func (s *socketReader) read(line string) {
	inTraceback := s.behind > 0
	s.behind--
	switch all := sockets(); {
	case inSocket.MatchString(line):
		s.behind = traceback
	case s.port("net.connect_tcp", all.connect, line), s.port("net.bind_tcp", all.bind, line):
	case matches(all.other, line), inTraceback && pythonDenied().MatchString(line):
		s.add(audit.Denial{Kind: audit.Syscall, Rights: []string{"socket"}})
		s.unnamed = true
		return
	}
	if strings.TrimSpace(line) != "" {
		s.unnamed = false
	}
}

func (s *socketReader) port(right string, forms []*regexp.Regexp, line string) bool {
	for _, form := range forms {
		match := form.FindStringSubmatch(line)
		if match == nil {
			continue
		}
		port, err := strconv.ParseUint(match[1], 10, 16)
		if err != nil || port == 0 {
			continue
		}
		if s.unnamed {
			s.found = s.found[:len(s.found)-1]
		}
		s.add(audit.Denial{Kind: audit.Net, Rights: []string{right}, Port: int(port)})
		return true
	}
	return false
}

func (s *socketReader) add(d audit.Denial) {
	d.Count, d.Command = 1, theLog
	s.found = append(s.found, d)
}

func matches(forms []*regexp.Regexp, line string) bool {
	for _, form := range forms {
		if form.MatchString(line) {
			return true
		}
	}
	return false
}
