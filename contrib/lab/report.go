package lab

import (
	"fmt"
	"strings"
)

// Report is what helps to understand a failure.
func (l *Lab) Report() string {
	var b strings.Builder
	for _, s := range l.Servers {
		fmt.Fprintf(&b, "--- %s, end of batond's log:\n%s\n", s.Name, tail(s.LogPath("batond"), 40))
	}
	fmt.Fprintf(&b, "--- what happened, in seconds since the lab began:\n%s", l.Timeline())
	return b.String()
}
