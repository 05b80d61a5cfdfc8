// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

// nomadsNames are what Nomad sets for every task, and nomadsPrefixes what the
// names of the others begin with that it makes: client/taskenv/env.go. The
// client takes neither from the agent's environment.
var nomadsNames = map[string]bool{
	"NOMAD_ALLOC_DIR": true, "NOMAD_TASK_DIR": true, "NOMAD_SECRETS_DIR": true,
	"NOMAD_ALLOC_ID": true, "NOMAD_SHORT_ALLOC_ID": true, "NOMAD_ALLOC_NAME": true, "NOMAD_ALLOC_INDEX": true,
	"NOMAD_TASK_NAME": true, "NOMAD_GROUP_NAME": true, "NOMAD_JOB_ID": true, "NOMAD_JOB_NAME": true,
	"NOMAD_DC": true, "NOMAD_NAMESPACE": true, "NOMAD_REGION": true,
	"NOMAD_CPU_LIMIT": true, "NOMAD_MEMORY_LIMIT": true,
}

func nomadSets(name string) bool { return nomadsNames[name] }

// pattern compiles a regular expression when it is first used: what only starts the
// command line does not pay for it.
func pattern(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

// secretName is what the names of variables hold that are given to credentials.
var secretName = pattern(`(?i)key|token|secret|pass|pwd|phrase|cred|auth|private|cookie|session|signature|signing|salt|seed|dsn|conn|jwt|cert|license|webhook|otp|pin$|_pat$|^pg|mysql|^vault|^consul|^aws|^azure|^arm_|^google|^gcp|^docker|^kube|^nomad_`)

// plainValues are the forms of values that hold no secret. Each is short, or
// made of words.
var plainValues = []func() *regexp.Regexp{
	pattern(`^$`),
	pattern(`^[0-9]{1,5}$`), // a port, a number of threads
	pattern(`^(?:[A-Za-z]{1,16}|[A-Z][a-z]{1,16}/[A-Za-z_/]{1,24})$`),                         // a word, a time zone
	pattern(`^[A-Za-z]{1,3}(?:_[A-Z]{2})?(?:\.[A-Za-z]{1,10}-?[0-9]{0,4})?(?:@[a-z]{1,8})?$`), // a locale
	pattern(`^(?:[a-z]{2,8}-)?[a-z]{2,8}(?:-[0-9]{1,3}color)$`),                               // a terminal
}

// pathNames are lists of directories, hostNames are hosts and addresses: by the
// form of their values alone they could be anything.
var (
	pathNames  = pattern(`^(?:PATH|[A-Z_]*PATH|[A-Z_]+_HOME|[A-Z_]+_ROOT|[A-Z_]+_DIR|NVM_DIR)$`)
	localNames = pattern(`^(?:LANG|LANGUAGE|LC_[A-Z]+|TZ|TERM|COLORTERM)$`)
	hostNames  = pattern(`(?i)^(?:no_proxy|(?:https?|ftp|all|rsync)_proxy)$`)
	directory  = pattern(`^(?:/[A-Za-z0-9._+@-]+)*/?$`)
	word       = pattern(`^[A-Za-z0-9._:@/+-]{0,64}$`)
	hosts      = pattern(`^[A-Za-z0-9.*:/,_ \[\]-]*$`)
)

// mayBeSecret reports whether a variable may hold a secret. What is not known to
// hold none may.
func mayBeSecret(name, value string) bool {
	switch {
	case existingPaths(value) && !bookkeeping().MatchString(name):
		return false
	case localNames().MatchString(name):
		return !word().MatchString(value)
	case hostNames().MatchString(name):
		return !hosts().MatchString(value) || !plainURL(value)
	case pathNames().MatchString(name) && (name == "PATH" || !secretName().MatchString(strings.TrimSuffix(name, "PATH"))):
		for dir := range strings.SplitSeq(value, ":") {
			if !directory().MatchString(dir) {
				return true
			}
		}
		return false
	case secretName().MatchString(name):
		return true
	}
	for _, form := range plainValues {
		if form().MatchString(value) {
			return false
		}
	}
	return true
}

// existingPaths reports whether a value is an absolute path, or a list of such, of
// what this host has: what is there may be a secret, its name is none.
func existingPaths(value string) bool {
	for path := range strings.SplitSeq(value, ":") {
		if !filepath.IsAbs(path) || !exists(path) {
			return false
		}
	}
	return true
}

// plainURL reports whether a proxy's address has nothing but scheme, host and
// port: no user, no password, no path. (A list of hosts has neither.)
func plainURL(value string) bool {
	if !strings.Contains(value, "://") {
		return !strings.ContainsAny(value, "@")
	}
	u, err := url.Parse(value)
	return err == nil && u.User == nil && (u.Path == "" || u.Path == "/") && u.RawQuery == "" && u.Fragment == ""
}
