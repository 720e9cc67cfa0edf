package lab

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// stat is what the lab reads of a /proc/PID/stat; state 0 where there is none.
type stat struct {
	comm  string
	state byte
	ticks uint64 // user and system time, of USER_HZ (100 a second)
	rss   int64  // pages
}

// readStat reads a stat file; the zero stat if the process is gone.
func readStat(path string) stat {
	text, err := os.ReadFile(path)
	if err != nil {
		return stat{}
	}
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')') // comm may hold both
	if open < 0 || end < open {
		return stat{}
	}
	f := strings.Fields(string(text[end+1:]))
	if len(f) < 22 {
		return stat{}
	}
	user, _ := strconv.ParseUint(f[11], 10, 64)
	system, _ := strconv.ParseUint(f[12], 10, 64)
	rss, _ := strconv.ParseInt(f[21], 10, 64)
	return stat{comm: string(text[open+1 : end]), state: f[0][0], ticks: user + system, rss: rss}
}

// ProcessInfo is a process on a server as the world sees it.
type ProcessInfo struct {
	PID   int // in the world, not on the server
	Inner int // on the server
	Args  []string
	State byte          // R, S, D, T, Z as in proc(5)
	CPU   time.Duration // user and system, resolution 10 ms
	RSS   int64         // bytes
}

// Processes lists everything that runs on the server, its init included.
func (s *Server) Processes() ([]ProcessInfo, error) {
	pid := s.initPID()
	if pid == 0 {
		return nil, s.off("list processes")
	}
	want, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "ns/pid"))
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var list []ProcessInfo
	for _, e := range entries {
		dir := filepath.Join("/proc", e.Name())
		// ns/pid_for_children may differ; ns/pid is where the process itself is.
		if ns, err := os.Readlink(filepath.Join(dir, "ns/pid")); err != nil || ns != want {
			continue
		}
		st := readStat(filepath.Join(dir, "stat"))
		if st.state == 0 {
			continue
		}
		p := ProcessInfo{
			State: st.state, CPU: time.Duration(st.ticks) * 10 * time.Millisecond, RSS: st.rss * int64(os.Getpagesize()),
		}
		p.PID, _ = strconv.Atoi(e.Name())
		if line, err := os.ReadFile(filepath.Join(dir, "cmdline")); err == nil {
			p.Args = strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
		}
		p.Inner = innerPID(filepath.Join(dir, "status"))
		list = append(list, p)
	}
	return list, nil
}

// innerPID is the last number of the NSpid line: the pid in the innermost namespace.
func innerPID(path string) int {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(text), "\n") {
		if rest, ok := strings.CutPrefix(line, "NSpid:"); ok {
			f := strings.Fields(rest)
			pid, _ := strconv.Atoi(f[len(f)-1])
			return pid
		}
	}
	return 0
}
