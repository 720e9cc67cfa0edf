package api

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"baton/core/cluster"
)

// Where a caller sits is a matter of record, so it is taken from where he cannot write:
// the terminal from the kernel's account of his process (proc_pid_stat(5), tty_nr), who
// he was when he logged in from the audit login uid (proc_pid_loginuid(5)), and the SSH
// client from the socket of the root process sshd(8) among his ancestors. SSH_CONNECTION
// in his environment is his own word, like everything that he sends.

// proc is where a proc file system is mounted.
type proc string

func (p proc) file(pid int, name string) string {
	return filepath.Join(string(p), strconv.Itoa(pid), name)
}

// processStat is what counts of /proc/PID/stat.
type processStat struct {
	comm   string
	parent int
	tty    int
	began  uint64 // ticks since the boot
}

func (p proc) stat(pid int) (s processStat, err error) {
	if pid <= 0 {
		return s, fmt.Errorf("process %d: of another PID namespace", pid)
	}
	b, err := os.ReadFile(p.file(pid, "stat"))
	if err != nil {
		return s, err
	}
	text := string(b)
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')') // a name may hold both
	if open < 0 || end < open {
		return s, fmt.Errorf("process %d: stat %q", pid, text)
	}
	s.comm = text[open+1 : end]
	f := strings.Fields(text[end+1:]) // from field 3 on
	if len(f) < 20 {
		return s, fmt.Errorf("process %d: stat has %d fields", pid, len(f)+2)
	}
	s.parent, _ = strconv.Atoi(f[1])
	s.tty, _ = strconv.Atoi(f[4])
	s.began, err = strconv.ParseUint(f[19], 10, 64)
	return s, err
}

// terminal names a tty_nr as ps(1) does, "" none: minor in bits 0 to 7 and 20 to 31, major
// in 8 to 15.
func terminal(nr int) string {
	major, minor := nr>>8&0xff, nr&0xff|nr>>12&0xfff00
	switch {
	case nr == 0:
		return ""
	case major >= 136 && major <= 143:
		return fmt.Sprintf("pts/%d", (major-136)<<8+minor) // older kernels spread them over majors
	case major == 4 && minor < 64:
		return fmt.Sprintf("tty%d", minor)
	case major == 4:
		return fmt.Sprintf("ttyS%d", minor-64)
	}
	return fmt.Sprintf("terminal %d:%d", major, minor)
}

// noLogin is the login uid of processes that nobody has logged in for.
const noLogin = "4294967295"

// login is the user who logged in, "" where nobody did or it is uid.
func (p proc) login(pid, uid int) string {
	b, err := os.ReadFile(p.file(pid, "loginuid"))
	text := strings.TrimSpace(string(b))
	if err != nil || text == "" || text == noLogin || text == strconv.Itoa(uid) {
		return ""
	}
	if u, err := user.LookupId(text); err == nil {
		return u.Username
	}
	return "uid " + text
}

// maxAncestors bounds the way up to sshd: shells in shells, sudo, make.
const maxAncestors = 32

// sshClient is the address at the other end of the sshd that a process lives under, "" where
// there is none.
func (p proc) sshClient(pid int) string {
	for range maxAncestors {
		s, err := p.stat(pid)
		if err != nil || pid <= 1 {
			return ""
		}
		if strings.HasPrefix(s.comm, "sshd") && p.isRoots(pid) {
			if a := p.client(pid); a != "" {
				return a
			}
		}
		pid = s.parent
	}
	return ""
}

// isRoots says whether the process is root's: anybody may call a program of his sshd.
func (p proc) isRoots(pid int) bool {
	b, err := os.ReadFile(p.file(pid, "status"))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 5 && f[0] == "Uid:" {
			return f[1] == "0" && f[2] == "0" && f[3] == "0" && f[4] == "0"
		}
	}
	return false
}

// client is the remote end of a process's one established TCP connection.
func (p proc) client(pid int) string {
	fds, err := os.ReadDir(p.file(pid, "fd"))
	if err != nil {
		return ""
	}
	var inodes []string
	for _, fd := range fds {
		target, err := os.Readlink(p.file(pid, "fd/"+fd.Name()))
		if inode, ok := strings.CutPrefix(target, "socket:["); err == nil && ok {
			inodes = append(inodes, strings.TrimSuffix(inode, "]"))
		}
	}
	for _, table := range []string{"net/tcp", "net/tcp6"} {
		f, err := os.Open(p.file(pid, table))
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			const established = "01"
			c := strings.Fields(lines.Text())
			if len(c) > 9 && c[3] == established && slices.Contains(inodes, c[9]) {
				if a, err := remote(c[2]); err == nil {
					f.Close()
					return a.String()
				}
			}
		}
		f.Close()
	}
	return ""
}

// remote reads an address of /proc/net/tcp (proc_pid_net(5)): words of the machine's byte
// order in hexadecimal, then the port.
func remote(text string) (netip.Addr, error) {
	word, _, _ := strings.Cut(text, ":")
	b, err := hex.DecodeString(word)
	if err != nil || len(b)%4 != 0 {
		return netip.Addr{}, errors.Join(fmt.Errorf("address %q", text), err)
	}
	for i := 0; i < len(b); i += 4 {
		slices.Reverse(b[i : i+4]) // little endian: what Linux on amd64 and arm64 has
	}
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return a, fmt.Errorf("address %q", text)
	}
	return a.Unmap(), nil
}

// origin is what the kernel says of where a caller sits.
type origin struct{ login, terminal, ssh string }

// originOf looks at the caller's process as long as it is still the one that connected.
func (p proc) originOf(who Peer) (o origin) {
	s, err := p.stat(who.PID)
	if err != nil || who.Began == 0 || s.began != who.Began {
		return o
	}
	o = origin{login: p.login(who.PID, who.UID), terminal: terminal(s.tty), ssh: p.sshClient(who.PID)}
	if s, err = p.stat(who.PID); err != nil || s.began != who.Began {
		return origin{} // it ended meanwhile: this may be about another one
	}
	return o
}

// recordOf is what is kept of a caller: what the kernel says, and what he says where that
// says more.
func recordOf(who Peer, says string) cluster.Who {
	return record(who, proc("/proc").originOf(who), cleanFrom(says))
}

func record(who Peer, o origin, says string) cluster.Who {
	w := cluster.Who{User: who.name(), UID: who.UID, Login: o.login, From: o.terminal}
	if o.ssh != "" {
		w.From = strings.TrimSpace(w.From + " ssh " + o.ssh)
	}
	// The same, told shorter or longer, is no second word.
	for _, known := range []string{o.terminal, "/dev/" + o.terminal, "ssh " + o.ssh, w.From} {
		if says == known {
			return w
		}
	}
	w.Says = says
	return w
}
