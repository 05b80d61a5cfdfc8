// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"regexp"
	"strings"
)

// page is a page of the manual, in the macros of man(7).
type page struct {
	strings.Builder
	begun bool // the section has text: man(7) wants no request for a paragraph before
}

// newPage heads a page. name may have spaces, which its file has not: a command.
func newPage(name string, section int, about string, v release) *page {
	p := &page{}
	title := strings.ReplaceAll(name, " ", "-")
	// The date as it is: formatters read it.
	p.line(".TH %s %d \"%s\" %s %s", quoted(strings.ToUpper(title)), section, v.day(), quoted(program+" "+v.version), quoted("Nomad task driver harn"))
	p.line(".nh\n.ad l") // names can be copied, and words are not spread
	p.section("NAME")
	p.line("%s \\- %s", escaped(title), escaped(about))
	return p
}

// line writes a line of what is roff already.
func (p *page) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (p *page) section(title string) {
	p.line(".SH %s", quoted(title))
	p.begun = false
}

// paragraph writes a paragraph of Markdown.
func (p *page) paragraph(text string) {
	if p.begun {
		p.line(".PP")
	}
	p.line("%s", markdown(text))
	p.begun = true
}

// item writes a term, with what it stands for in italics, and its explanation.
func (p *page) item(term, value, text string) {
	p.line(".TP")
	p.begun = true
	line := `\fB` + escaped(term) + `\fR`
	if value != "" {
		line += ` \fI` + escaped(value) + `\fR`
	}
	p.line("%s", guarded(line))
	p.line("%s", markdown(text))
}

// note adds a paragraph to an item.
func (p *page) note(text string) {
	p.line(".IP")
	p.line("%s", markdown(text))
}

// example writes lines as they are.
func (p *page) example(text string) {
	p.line(".PP\n.RS 4\n.nf")
	for line := range strings.Lines(text) {
		p.line("%s", guarded(escaped(strings.TrimRight(line, "\n"))))
	}
	p.line(".fi\n.RE")
}

var (
	special = strings.NewReplacer(`\`, `\e`, `-`, `\-`, `'`, `\(aq`, "`", `\(ga`, `^`, `\(ha`, `~`, `\(ti`)
	links   = regexp.MustCompile(`\[([^\]]*)\]\([^)\s]*\)`)
	strong  = regexp.MustCompile(`\*\*([^*]+)\*\*`)
)

// escaped is a text of which roff prints each character as it is.
func escaped(text string) string { return special.Replace(text) }

// guarded keeps what looks like a request from being one.
func guarded(line string) string {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		return `\&` + line
	}
	return line
}

func quoted(text string) string { return `"` + strings.ReplaceAll(escaped(text), `"`, `\(dq`) + `"` }

// markdown is what documents have of it in a paragraph: code, links, and what is
// emphasized. A page of the manual leads nowhere: of a link the text stays.
func markdown(text string) string {
	var b strings.Builder
	for i, part := range strings.Split(text, "`") {
		if i%2 == 1 {
			b.WriteString("\x00B" + part + "\x00R")
		} else {
			b.WriteString(part)
		}
	}
	plain := links.ReplaceAllString(b.String(), "$1")
	plain = strong.ReplaceAllString(plain, "\x00I$1\x00R")
	return guarded(strings.ReplaceAll(escaped(plain), "\x00", `\f`))
}
