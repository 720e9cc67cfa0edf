//go:build faults

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"baton/core/node"
)

// A build with the tag "faults" does on purpose what must never be, to show that the
// lab notices. The environment variable BATON_FAULTS says what, words separated by
// commas:
//
//	weaken=NAME   leave a rule out (node.Weakness, by the constant's name)
//	wall=FILE     add as many milliseconds as FILE holds to the wall clock
//	noguard       the guard clears nothing at the end of a lease (daemon/guard)
//
// Nothing of this file is in a normal build.

// weaknesses by their names in BATON_FAULTS.
var weaknesses = map[string]node.Weakness{
	"NoW": node.NoW, "NoEndGuard": node.NoEndGuard, "GrantFull": node.GrantFull, "NoSession": node.NoSession,
	"NoJournal": node.NoJournal, "NoFormerAge": node.NoFormerAge, "NoQuiet": node.NoQuiet, "NoSticky": node.NoSticky,
	"NoRule2": node.NoRule2, "NotBest": node.NotBest, "SealVolatile": node.SealVolatile,
	"NoAgreement": node.NoAgreement,
}

// built is what BATON_FAULTS asks for.
var built = sync.OnceValue(func() (b struct {
	weaken node.Weakness
	wall   string
},
) {
	for _, word := range strings.FieldsFunc(os.Getenv("BATON_FAULTS"), func(r rune) bool { return r == ',' }) {
		key, value, _ := strings.Cut(word, "=")
		switch w, ok := weaknesses[value]; {
		case key == "weaken" && ok:
			b.weaken |= w
		case key == "wall":
			b.wall = value
		case key == "noguard":
		default:
			// A fault that is misspelt must not pass for one that was not noticed.
			fmt.Fprintf(os.Stderr, "batond: BATON_FAULTS: %q is no fault\n", word)
			os.Exit(exitMistake)
		}
	}
	return b
})

func weakness() node.Weakness { return built().weaken }

// wallTime is the wall clock and what the file adds to it.
func wallTime() int64 {
	now := time.Now().UnixMilli()
	if path := built().wall; path != "" {
		if text, err := os.ReadFile(path); err == nil {
			step, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
			now += step
		}
	}
	return now
}
