// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/burin-labs/nomad-driver-harn/egress/rule"
)

// Egress says which hosts a task may connect to, by name. It means all of them: a task
// with it has no other network.
type Egress struct {
	// Allow and Deny are rules, as [rule.Parse] reads them. A rule of Deny beats all of
	// Allow.
	Allow []string `codec:"allow" json:"allow,omitzero"`
	Deny  []string `codec:"deny" json:"deny,omitzero"`
	// Default is what becomes of a host that no rule matches, "allow" or "deny"; absent
	// means deny.
	Default string `codec:"default" json:"default,omitzero"`
	// BlockPrivate: a name that resolves to an address which is not of the public
	// internet is refused, unless a rule of Allow admits the address. nil stands for true.
	BlockPrivate *bool `codec:"block_private" json:"block_private,omitzero"`
}

// The values of Default.
const (
	EgressAllow = "allow"
	EgressDeny  = "deny"
)

// Rules are the rules of valid egress.
func (e *Egress) Rules() rule.Set {
	return rule.Set{
		Allow: parsed(e.Allow), Deny: parsed(e.Deny),
		Others: e.Default == EgressAllow, Private: !e.blocksPrivate(),
	}
}

func (e *Egress) blocksPrivate() bool { return e.BlockPrivate == nil || *e.BlockPrivate }

// parsed are the rules of a valid list.
func parsed(texts []string) []rule.Rule {
	rules := make([]rule.Rule, 0, len(texts))
	for _, text := range texts {
		if r, err := rule.Parse(text); err == nil {
			rules = append(rules, r)
		}
	}
	return rules
}

// wrongRules names what is wrong in a list of rules.
func wrongRules(texts []string) (problems []string) {
	for i, text := range texts {
		if _, err := rule.Parse(text); err != nil {
			problems = append(problems, fmt.Sprintf("[%d]: %v", i, err))
		}
	}
	return problems
}

// egressFields are the members of the block.
func egressFields() []Field {
	return []Field{
		{
			Name: "egress.allow", Kind: Names,
			Text: "what the task may connect to: `host`, `*.suffix` (any depth below it, not itself), an address, `ADDRESS/BITS`, each with or without `:port`, " +
				"IPv6 with a port in brackets; a URL stands for its host and port",
			Absent: "nothing, if `default` is `deny`", Empty: "the same", Ceiling: "each rule covered by one of the ceiling", Kernel: "the task's network namespace, a name server and a forwarder of its own",
			value:    func(p *Policy) any { return &p.Egress.Allow },
			validate: func(p *Policy) []string { return wrongRules(p.Egress.Allow) },
		},
		{
			Name: "egress.deny", Kind: Names,
			Text:   "what it may not connect to, whatever `allow` says; also a name that an admitted one is an alias of, and an address that it resolves to",
			Absent: "nothing", Empty: "nothing", Ceiling: "the ceiling's are added", Kernel: "the same",
			value:    func(p *Policy) any { return &p.Egress.Deny },
			validate: func(p *Policy) []string { return wrongRules(p.Egress.Deny) },
		},
		{
			Name: "egress.default", Kind: Word,
			Text:   "what becomes of hosts that no rule matches: `allow` or `deny`",
			Absent: "`deny`", Ceiling: "`deny` if either is", Kernel: "the same",
			value: func(p *Policy) any { return &p.Egress.Default },
			validate: func(p *Policy) []string {
				switch p.Egress.Default {
				case "", EgressAllow, EgressDeny:
					return nil
				}
				return []string{fmt.Sprintf(": %q%s", p.Egress.Default, Expected(p.Egress.Default, []string{EgressAllow, EgressDeny}))}
			},
		},
		{
			Name: "egress.block_private", Kind: Choice,
			Text: "a name that resolves to a loopback, link-local, private, carrier's, multicast or reserved address, as those of metadata services are, " +
				"or to one of the node's own, is refused, unless a rule of `allow` for addresses admits that one",
			Absent: "`true`", Ceiling: "`true` for all, unless it says `false`", Kernel: "the forwarder, on what a name has resolved to",
			value: func(p *Policy) any { return &p.Egress.BlockPrivate },
		},
	}
}

// egressContradictions are fields that rule egress out.
func (p *Policy) egressContradictions() (problems []string) {
	if p.Egress == nil {
		if p.EgressLog {
			problems = append(problems, "egress_log: there is no egress block whose connections could be logged: write one, or leave it out")
		}
		return problems
	}
	if !p.NetworkAllowed() {
		problems = append(problems, fmt.Sprintf("egress: the side_effect_level %q has no network: raise it to %q, or leave the block out", p.SideEffectLevel, LevelNetwork))
	}
	if p.Profile() == Unrestricted {
		problems = append(problems, `egress limits nothing under sandbox_profile "unrestricted": leave one of them out`)
	}
	return problems
}

// narrowEgress puts what a ceiling leaves of egress into result, whose level is narrowed.
func narrowEgress(ceiling, result *Policy) error {
	own, limit := result.Egress, ceiling.Egress
	switch {
	case !result.NetworkAllowed():
		result.Egress, result.EgressLog = nil, false
		if own != nil { // a valid request has a network: so the ceiling took it away
			return fmt.Errorf("egress needs side_effect_level %q, which exceeds the operator's ceiling (%q): leave the block out", LevelNetwork, ceiling.SideEffectLevel)
		}
		return nil
	case limit == nil:
		return nil
	case own == nil:
		result.Egress = ceiling.Clone().Egress
		return nil
	}
	rules, most := own.Rules(), limit.Rules()
	var problems []error
	if beyond := most.Beyond(rules.Allow); len(beyond) > 0 {
		var texts []string
		for _, r := range beyond {
			texts = append(texts, r.String())
		}
		problems = append(problems, fmt.Errorf("egress.allow: %s exceed the operator's ceiling (%s)", quoted(texts), limit.describe()))
	}
	if rules.Others && !most.Others {
		problems = append(problems, fmt.Errorf("egress.default: %q exceeds the operator's ceiling (%s): name the hosts in allow", EgressAllow, limit.describe()))
	}
	if rules.Private && !most.Private {
		problems = append(problems, errors.New("egress.block_private: false exceeds the operator's ceiling (true): name the addresses in allow"))
	}
	both := rule.Intersect(&most, &rules)
	own.Deny = nil
	for _, r := range both.Deny {
		own.Deny = append(own.Deny, r.String())
	}
	return joinLine(problems)
}

// describe says what a ceiling's egress admits.
func (e *Egress) describe() string {
	s := "no host"
	if len(e.Allow) > 0 {
		s = "allow = [" + quoted(e.Allow) + "]"
	}
	if e.Default == EgressAllow {
		s += ", default = " + strconv.Quote(EgressAllow)
	}
	if len(e.Deny) > 0 {
		s += ", deny = [" + quoted(e.Deny) + "]"
	}
	return s
}
