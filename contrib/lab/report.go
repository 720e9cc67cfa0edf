package lab

import (
	"fmt"
	"net/netip"
	"strings"
)

// Report is what helps to understand a failure.
func (l *Lab) Report() string {
	var b strings.Builder
	for _, s := range l.Servers {
		fmt.Fprintf(&b, "--- %s, end of batond's log:\n%s\n", s.Name, tail(s.LogPath("batond"), 40))
	}
	runs, err := l.Journal()
	fmt.Fprintf(&b, "--- runs of scripts (%v):\n", err)
	for _, r := range runs {
		fmt.Fprintf(&b, "    %s-%s %s, exit code %d\n", r.Begin, r.End, r, r.Code)
	}
	for _, g := range l.opts.Groups {
		ip := netip.MustParseAddr(g.Address)
		fmt.Fprintf(&b, "--- %s (%s) claims:\n", g.Name, g.Address)
		for _, claim := range l.witness.Claims(ip) {
			fmt.Fprintf(&b, "    %s\n", claim)
		}
		for _, h := range l.Holdings(ip) {
			fmt.Fprintf(&b, "    had by %s from %s until %s\n", h.Server, h.From.Format("15:04:05.000"), h.Until.Format("15:04:05.000"))
		}
	}
	return b.String()
}
