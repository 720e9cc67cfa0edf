package console

import (
	"fmt"
	"strings"
	"time"

	"baton/daemon/api"
	"baton/tui/cells"
	"baton/tui/picture"
	"baton/tui/words"
)

// linkState is a path's word, and for how long it is lost.
func (m *model) linkState(l *picture.Link) string {
	switch l.Sign.Word {
	case words.OneWay:
		return m.s(words.OneWay, cells.Clean(l.From), cells.Clean(l.To))
	case words.Lost:
		if l.Age > 0 {
			return m.s(words.Lost) + " " + cells.Age(l.Age)
		}
	}
	return m.s(l.Sign.Word)
}

// linkWord is linkState in at most w cells.
func (m *model) linkWord(l *picture.Link, w int) string {
	if s := m.linkState(l); cells.Width(s) <= w {
		return s
	}
	if l.Sign.Word == words.OneWay {
		if s := m.s(words.OneWayShort); cells.Width(s) <= w {
			return s
		}
		return m.s(words.Lost)
	}
	return m.s(l.Sign.Word)
}

// figures are a working path's round trip and losses, in steps coarse enough to stand
// still.
func (m *model) figures(l *picture.Link) string {
	if l.Sign.Kind != picture.Good {
		return ""
	}
	var parts []string
	if l.RTT >= 0 {
		parts = append(parts, roundTrip(l.RTT))
	}
	if l.Loss >= 0.005 {
		parts = append(parts, fmt.Sprintf("-%d%%", int(l.Loss*100+0.5)))
	}
	return strings.Join(parts, " ")
}

// roundTrip is a bound from the row 1, 2, 5, 10, ...
func roundTrip(d time.Duration) string {
	for _, ms := range [...]int{1, 2, 5, 10, 20, 50, 100, 200, 500} {
		if d < time.Duration(ms)*time.Millisecond {
			return fmt.Sprintf("<%dms", ms)
		}
	}
	return ">.5s"
}

// pairLines has one line for each pair of servers: whole line, broken line or a gap,
// and each path in a column of its own.
func (m *model) pairLines(w int) []string {
	pairs := picture.Pairs(m.st)
	nameW, longest, count := 0, 0, 0
	for i := range m.st.Servers {
		nameW = max(nameW, cells.Width(cells.Clean(m.st.Servers[i].Name)))
	}
	nameW = min(nameW, max(4, w/8))
	for i := range pairs {
		count = max(count, len(pairs[i].Links))
		for k := range pairs[i].Links {
			longest = max(longest, cells.Width(cells.Clean(pairs[i].Links[k].Name)))
		}
	}
	longest = min(longest, 10)
	out := make([]string, 0, len(pairs))
	for i := range pairs {
		p := &pairs[i]
		lead := " " + m.th.fit(cells.Clean(p.A), nameW) + " " + m.connector(p.Sign()) + " " + m.th.fit(cells.Clean(p.B), nameW) + "  "
		room := w - cells.Width(lead)
		col := 0
		if count > 0 {
			col = room / count
		}
		if col < longest+9 {
			out = append(out, lead+m.pairSummary(p, room))
			continue
		}
		for k := range p.Links {
			l := &p.Links[k]
			text := m.th.fit(cells.Clean(l.Name), longest) + " " + m.linkWord(l, col-longest-4)
			if f := m.figures(l); f != "" && cells.Width(text)+cells.Width(f)+4 < col {
				text += " " + f
			}
			lead += m.th.fit(m.th.sign(l.Sign.Kind, m.th.cut(text, col-3)), col)
		}
		out = append(out, lead)
	}
	return out
}

// connector is three cells between two servers: whole, in pieces, or nothing. A dead
// path is a gap.
func (m *model) connector(k picture.Kind) string {
	l := m.th.lines()
	switch k {
	case picture.Good:
		return dim(strings.Repeat(l.h, 3))
	case picture.Caution:
		return dim(l.dash)
	}
	return "   "
}

// pairSummary is a pair in little room: how many paths work, and those that do not.
func (m *model) pairSummary(p *picture.Pair, w int) string {
	ok := p.OK()
	if ok == len(p.Links) {
		return m.th.cut(m.th.sign(picture.Good, m.s(words.AllPathsOK, ok)), w)
	}
	s := m.th.sign(p.Sign(), m.s(words.SomePathsOK, ok, len(p.Links)))
	for i := range p.Links {
		if l := &p.Links[i]; l.Sign.Kind != picture.Good {
			s += "  " + m.th.sign(l.Sign.Kind, cells.Clean(l.Name)+" "+m.linkState(l))
		}
	}
	return m.th.cut(s, w)
}

// between is what stands between two boxes: paths, tie-breaker, quorum.
func (m *model) between(w, n int) []string {
	l := m.th.lines()
	out := []string{" " + m.s(words.HeartbeatTitle)}
	pairs := picture.Pairs(m.st)
	if len(pairs) == 1 {
		longest := 4
		for i := range pairs[0].Links {
			longest = max(longest, cells.Width(cells.Clean(pairs[0].Links[i].Name)))
		}
		longest = min(longest, w-5-max(cells.Width(m.s(words.Lost)), cells.Width(m.s(words.OK))))
		for i := range pairs[0].Links {
			k := &pairs[0].Links[i]
			text := m.th.fit(cells.Clean(k.Name), longest) + " "
			text += m.linkWord(k, w-4-cells.Width(text))
			if f := m.figures(k); f != "" && cells.Width(text)+cells.Width(f)+8 < w {
				text += "  " + f
			}
			lead, fill := "  ", ""
			if k.Sign.Kind == picture.Good {
				lead = dim(l.h + " ")
				fill = " " + dim(strings.Repeat(l.h, max(w-5-cells.Width(text), 0)))
			}
			out = append(out, m.th.cut(lead+m.th.sign(k.Sign.Kind, text)+fill, w))
		}
	}
	out = append(out, "", " "+m.s(words.Tiebreaker))
	if k := m.st.Tiebreaker.Kind; k == "" || k == "none" {
		out = append(out, "  "+m.th.sign(picture.Off, m.s(words.NoTiebreaker)))
	} else {
		out = append(out, "  "+m.th.sign(m.tieKind(), m.th.cut(cells.Clean(k), w-5)))
	}
	vote := m.th.sign(picture.Good, "")
	if !m.st.Quorum {
		vote = m.th.sign(picture.Failed, "")
	}
	return append(out, "", m.th.cut(fmt.Sprintf(" %s %s", m.s(words.Votes), vote), w))
}

// matrix is, per server, the worst path to each of the others: a table of signs, one
// column of two cells per server, headed by their numbers.
func (m *model) matrix() (head string, rows []string) {
	n := len(m.st.Servers)
	at := map[string]int{}
	for i := range m.st.Servers {
		at[m.st.Servers[i].Name] = i
		head += fmt.Sprintf("%2d", (i+1)%100)
	}
	grid := make([][]string, n)
	for i := range grid {
		grid[i] = make([]string, n)
		for k := range grid[i] {
			grid[i][k] = " ?"
		}
		grid[i][i] = " " + dim(".")
	}
	pairs := picture.Pairs(m.st)
	for i := range pairs {
		a, b := at[pairs[i].A], at[pairs[i].B]
		s := " " + m.th.sign(pairs[i].Sign(), "")
		grid[a][b], grid[b][a] = s, s
	}
	for i := range grid {
		rows = append(rows, strings.Join(grid[i], ""))
	}
	return head, rows
}

// heardAge is how long ago the answering server heard another, while that says
// anything: a figure that moves all the time says nothing.
func (m *model) heardAge(s *api.Server) string {
	switch {
	case s.Name == m.st.Server:
		return ""
	case s.HeardMS < 0:
		return "-"
	case s.HeardMS < 1500:
		return "<2s"
	}
	return cells.Age(time.Duration(s.HeardMS) * time.Millisecond)
}
