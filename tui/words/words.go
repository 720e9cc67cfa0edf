// Package words is everything the console says, in English and Japanese, in one
// place. It is not for what the cluster says: reasons, events and refusals come from
// the daemon as they are in the log.
//
// A Text is a language; it has no state and may be used from any goroutine.
package words

import (
	"fmt"
	"strings"
)

// Text is a language.
type Text uint8

// The languages.
const (
	English Text = iota
	Japanese
)

// Key names a phrase.
type Key int

// S is the phrase. Where it has verbs the arguments fill them; a language may use
// them in another order ("%[2]s").
func (t Text) S(k Key, args ...any) string {
	if k < 0 || k >= last {
		return ""
	}
	s := table[k][t]
	if len(args) == 0 {
		return s
	}
	return fmt.Sprintf(s, args...)
}

// Locale is what the environment says about language and terminal.
type Locale struct {
	Text Text
	UTF8 bool
}

// FromEnv reads LC_ALL, LC_CTYPE, LC_MESSAGES and LANG as setlocale(3) does: LC_ALL
// wins, LANG is the last. Japanese needs a character set that has it, and a terminal
// too: the kernel's own console (TERM=linux) has no such glyphs.
func FromEnv(getenv func(string) string) Locale {
	first := func(names ...string) string {
		for _, n := range names {
			if v := getenv(n); v != "" {
				return v
			}
		}
		return "C"
	}
	ctype := strings.ToLower(first("LC_ALL", "LC_CTYPE", "LANG"))
	l := Locale{UTF8: strings.Contains(ctype, "utf-8") || strings.Contains(ctype, "utf8")}
	msg := strings.ToLower(first("LC_ALL", "LC_MESSAGES", "LANG"))
	if l.UTF8 && getenv("TERM") != "linux" && (msg == "ja" || strings.HasPrefix(msg, "ja_") || strings.HasPrefix(msg, "ja.")) {
		l.Text = Japanese
	}
	return l
}

// Parse understands a language's name: "en", "ja", "ja_JP.UTF-8". Anything else is
// English.
func Parse(name string) Text {
	n := strings.ToLower(name)
	if n == "ja" || strings.HasPrefix(n, "ja_") || strings.HasPrefix(n, "ja.") || n == "japanese" {
		return Japanese
	}
	return English
}
