// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package rule

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// Error says why a text is no rule.
type Error struct {
	Text   string
	Reason string
	// Nearest is the rule that may be meant, "" if there is none.
	Nearest string
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%q is no rule: %s", e.Text, e.Reason)
	if e.Nearest != "" {
		s += fmt.Sprintf("; write %q", e.Nearest)
	}
	return s
}

// schemes are those of URLs whose port is known without being said.
var schemes = map[string]uint16{"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21}

// Parse reads a rule. The error is an [*Error].
func Parse(text string) (Rule, error) {
	r, reason := parse(text)
	if reason == "" {
		return r, nil
	}
	e := &Error{Text: text, Reason: reason}
	for _, try := range nearest(text) {
		// One that has lost its port would admit more than was written.
		if near, reason := parse(try); reason == "" && (near.Port != 0 || !saysPort(text)) {
			e.Nearest = near.String()
			break
		}
	}
	return Rule{}, e
}

// parse returns a rule, or the reason why there is none.
func parse(text string) (r Rule, reason string) {
	rest := strings.TrimSpace(text)
	if rest == "" {
		return r, "it is empty, expected a host, *.suffix, an address or addresses, each with or without :port"
	}
	scheme, after, isURL := strings.Cut(rest, "://")
	if isURL {
		if !isScheme(scheme) {
			return r, fmt.Sprintf("%q is no scheme of a URL", scheme)
		}
		rest, _, _ = strings.Cut(after, "/")
		rest, _, _ = strings.Cut(rest, "?")
		rest, _, _ = strings.Cut(rest, "#")
		if at := strings.LastIndexByte(rest, '@'); at >= 0 {
			rest = rest[at+1:]
		}
	}
	host, port, bracketed, reason := split(rest)
	if reason != "" {
		return r, reason
	}
	if isURL {
		if port == "" {
			r.Port = schemes[strings.ToLower(scheme)]
		}
		if host == "" {
			return r, "its URL has no host"
		}
	}
	if port != "" {
		number, err := strconv.ParseUint(port, 10, 64)
		if err != nil || number == 0 || number > math.MaxUint16 {
			return r, fmt.Sprintf("%q is no port, expected 1 to %d", port, math.MaxUint16)
		}
		r.Port = uint16(number)
	}
	return r, r.setHost(host, bracketed)
}

func isScheme(s string) bool {
	for i, c := range []byte(strings.ToLower(s)) {
		if ('a' > c || c > 'z') && (i == 0 || !strings.ContainsRune("0123456789+-.", rune(c))) {
			return false
		}
	}
	return s != ""
}

// split separates a port from a host, which is in brackets if it has colons.
func split(text string) (host, port string, bracketed bool, reason string) {
	if inside, ok := strings.CutPrefix(text, "["); ok {
		host, after, ok := strings.Cut(inside, "]")
		port, hasPort := strings.CutPrefix(after, ":")
		switch {
		case !ok:
			return "", "", true, `its "[" has no "]"`
		case after != "" && (!hasPort || port == ""):
			return "", "", true, fmt.Sprintf(`%q follows "]", expected :port or nothing`, after)
		}
		return host, port, true, ""
	}
	at := strings.LastIndexByte(text, ':')
	if at < 0 || strings.Contains(text[:at], ":") { // an address of IPv6
		return text, "", false, ""
	}
	if host, port = text[:at], text[at+1:]; port == "" {
		return "", "", false, `":" is followed by no port`
	}
	return host, port, false, ""
}

// setHost sets the name or the addresses, or returns the reason why it cannot.
func (r *Rule) setHost(host string, bracketed bool) (reason string) {
	if strings.Contains(host, "/") {
		return r.setPrefix(host)
	}
	if address, err := netip.ParseAddr(host); err == nil {
		if address.Zone() != "" {
			return "an address with a zone is one of this machine's networks alone"
		}
		address = plain(address)
		r.Addresses = netip.PrefixFrom(address, address.BitLen())
		return ""
	}
	if bracketed || strings.Contains(host, ":") {
		return fmt.Sprintf("%q is no address of IPv6", host)
	}
	suffix, below := strings.CutPrefix(host, "*.")
	name, ok := Name(suffix)
	switch {
	case host == "*":
		return `"*" is every host: leave the block egress out, for a task that may reach all`
	case strings.Contains(suffix, "*"):
		return `"*" stands for names only at the beginning, before a dot`
	case !ok && !ascii(host):
		return "a name has letters, digits, hyphens, underscores and dots: write one in other letters as DNS has it (xn--...)"
	case !ok:
		return fmt.Sprintf("%q is no name: labels of letters, digits, hyphens and underscores, each of 1 to 63, 253 in all", host)
	case number(name):
		return fmt.Sprintf("%q is neither an address nor a name: the last label of a name is no number", host)
	}
	r.Name, r.Below = name, below
	return ""
}

func (r *Rule) setPrefix(host string) (reason string) {
	prefix, err := netip.ParsePrefix(host)
	if err != nil {
		return fmt.Sprintf(`%q is no range of addresses, expected ADDRESS/BITS`, host)
	}
	if address := prefix.Addr(); address.Is4In6() {
		const mapped = 96 // bits before the address of IPv4
		if prefix.Bits() < mapped {
			return fmt.Sprintf("%q has addresses of IPv4 written as IPv6, and others: write the one or the other", host)
		}
		prefix = netip.PrefixFrom(address.Unmap(), prefix.Bits()-mapped)
	}
	r.Addresses = prefix.Masked()
	return ""
}

func ascii(s string) bool {
	for _, c := range []byte(s) {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// number reports whether the last label is one, as resolvers take it for part of an
// address of IPv4: 10.1, 0x7f.1.
func number(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	_, err := strconv.ParseUint(last, 0, 64)
	return err == nil || strings.Trim(last, "0123456789") == ""
}

// saysPort reports whether a text names a port, or a scheme that stands for one, right or
// not.
func saysPort(text string) bool {
	if strings.Contains(text, "://") {
		return true
	}
	host := strings.TrimSpace(text)
	if end := strings.LastIndexByte(host, ']'); end >= 0 {
		return strings.Trim(host[end+1:], ":") != ""
	}
	if at := strings.LastIndexByte(host, '/'); at >= 0 && strings.Contains(host[at:], ":") {
		return true
	}
	host, _, _ = strings.Cut(host, "/")
	before, port, _ := strings.Cut(host, ":")
	return port != "" && !strings.Contains(port, ":") && before != ""
}

// nearest are texts that may be meant, most likely first.
func nearest(text string) []string {
	text = strings.TrimSpace(text)
	_, after, isURL := strings.Cut(text, "://")
	if !isURL {
		after = text
	}
	var tries []string
	add := func(s string) { tries = append(tries, s) }
	// Of what is behind a scheme that is none.
	if isURL {
		add(after)
	}
	// A path behind a host.
	host, _, _ := strings.Cut(after, "/")
	add(host)
	// A name of a service for a port, or no port behind the colon.
	if at := strings.LastIndexByte(host, ':'); at > 0 {
		if port := schemes[strings.ToLower(host[at+1:])]; port != 0 {
			add(fmt.Sprintf("%s:%d", host[:at], port))
		}
		add(host[:at])
	}
	// .example.com, *example.com, **.example.com: not api.*.example.com nor *.*.example.com,
	// for which nothing as narrow can be written.
	if at := strings.LastIndexAny(host, "*"); at >= 0 && strings.Trim(host[:at], "*") == "" {
		add("*." + strings.TrimLeft(host[at+1:], "."))
	}
	if strings.HasPrefix(host, ".") {
		add("*" + host)
	}
	// 2001:db8::/32:443
	if slash := strings.LastIndexByte(after, '/'); slash > 0 {
		if bits, port, ok := strings.Cut(after[slash:], ":"); ok {
			tries = append([]string{"[" + after[:slash] + bits + "]:" + port}, tries...)
		}
	}
	// [2001:db8::1]443
	if end := strings.LastIndexByte(host, ']'); end > 0 && strings.HasPrefix(host, "[") {
		add(host[:end+1] + ":" + strings.TrimLeft(host[end+1:], ":"))
	}
	// [2001:db8::1, [example.com]:443
	if end := strings.LastIndexByte(host, ']'); end > 0 {
		add(host[:end+1])
	}
	bare := strings.NewReplacer("[", "", "]", "").Replace(host)
	add("[" + bare + "]")
	add(bare)
	// fe80::1%eth0
	add(strings.TrimRight(strings.SplitN(host, "%", 2)[0], "."))
	// example..com, example.com..
	for strings.Contains(host, "..") {
		host = strings.ReplaceAll(host, "..", ".")
	}
	add(host)
	add(strings.ReplaceAll(host, " ", ""))
	return tries
}
