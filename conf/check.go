package conf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Check writes what "baton check" says of a file: every problem, or every warning and
// a summary. It returns whether batond would start with the file. Where the file
// names this machine as a server, it also looks at what the file needs here: the
// key, the scripts.
func Check(w io.Writer, path string) (ok bool) {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	return check(w, path, machine{host: host, root: "/"})
}

// machine is what Check may look at besides the file.
type machine struct {
	host string // host name
	root string // of the file system; another one than "/" in tests
}

func check(w io.Writer, path string, m machine) bool {
	c, err := Load(path)
	if err != nil {
		fmt.Fprintln(w, err)
		if errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintln(w, "write one; conf/examples has files to begin with")
		}
		if ps := Problems(nil); errors.As(err, &ps) {
			fmt.Fprintf(w, "\n%s: batond does not start with this file\n", counted(len(ps), "problem", "problems"))
		}
		return false
	}
	warnings := c.Warnings()
	if i := c.Index(m.host); i >= 0 {
		warnings = append(warnings, c.here(i, m)...)
	}
	for _, p := range warnings {
		fmt.Fprintln(w, p.text("warning"))
	}
	if len(warnings) > 0 {
		fmt.Fprintln(w)
	}
	fmt.Fprint(w, c.Summary())
	return true
}

// Summary says in a few lines what the file amounts to, for an operator to compare
// with what he meant.
func (c *Config) Summary() string {
	var b strings.Builder
	addresses := 0
	for _, g := range c.Groups {
		addresses += len(g.FloatingIPs)
	}
	names := make([]string, 0, MaxInterconnects+1)
	for _, p := range c.Paths(0, 1) {
		names = append(names, p.Name)
	}
	if c.HasDiskPath() {
		names = append(names, DiskPath)
	}
	fmt.Fprintf(&b, "%s: %s, %s, %s, %s between each pair (%s)\n", c.Cluster.Name,
		counted(len(c.Servers), "server", "servers"), counted(len(c.Groups), "group", "groups"),
		counted(addresses, "floating IP", "floating IPs"),
		counted(len(names), "heartbeat path", "heartbeat paths"), strings.Join(names, ", "))
	fmt.Fprintf(&b, "a server silent for %v on every network is down, and its groups are taken over\n", c.Heartbeat.Timeout)
	if s := c.aboutTiebreaker(); s != "" {
		fmt.Fprintln(&b, s)
	}
	for _, g := range c.Groups {
		fmt.Fprintf(&b, "group %s: %s", g.Name, strings.Join(g.Policy, ", "))
		for _, f := range g.FloatingIPs {
			fmt.Fprintf(&b, "; %v", f)
		}
		if !g.Autostart {
			b.WriteString("; started by an operator")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// String is the address as the file writes it.
func (f FloatingIP) String() string {
	s := f.Address.String()
	if f.Prefix >= 0 {
		s = fmt.Sprintf("%s/%d", s, f.Prefix)
	}
	if f.Interface != "" {
		s += " on " + f.Interface
	}
	return s
}

// here looks at what server i needs on the machine that it is.
func (c *Config) here(i int, m machine) []Problem {
	w := &reader{file: c.file, lines: c.lines}
	name := c.Servers[i].Name
	if err := m.key(c.Cluster.KeyFile); err != nil {
		w.fail("cluster.key_file", strings.ReplaceAll(err.Error(), "\n", " "), "batond does not start without a key")
	}
	for k, g := range c.Groups {
		if !slices.Contains(g.Policy, name) {
			continue
		}
		for _, s := range []struct{ key, file string }{{"start_script", g.StartScript}, {"stop_script", g.StopScript}} {
			if s.file == "" {
				continue
			}
			if message, remedy := m.script(s.file); message != "" {
				w.fail(at("group", k)+"."+s.key, message, remedy)
			}
		}
	}
	c.fenceHere(w, m)
	if d := c.Tiebreaker.Device; d != "" {
		if message, remedy := m.device(d); message != "" {
			w.fail("tiebreaker.device", message, remedy)
		}
	}
	c.ofMachine(w, i, m)
	w.problems.sort()
	return w.problems
}

// key says why the key file could not be used; "" where that cannot be told, since
// only root may read it.
func (m machine) key(path string) error {
	_, err := LoadKeys(filepath.Join(m.root, path))
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}

// script says why a script could not be run.
func (m machine) script(path string) (message, remedy string) {
	info, err := os.Stat(filepath.Join(m.root, path))
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "", "" // not ours to see; root may
	case errors.Is(err, fs.ErrNotExist):
		return path + " is not there", "install it on every server of the policy"
	case err != nil:
		return err.Error(), ""
	case !info.Mode().IsRegular():
		return path + " is not a file", "name the script itself"
	case info.Mode()&0o111 == 0:
		return path + " is not executable", "chmod 755 " + path
	case info.Mode()&0o022 != 0:
		return fmt.Sprintf("%s can be changed by others (mode %04o)", path, info.Mode().Perm()), "chmod 755 " + path
	}
	return "", ""
}

// device says why a CLUSTER partition could not be used.
func (m machine) device(path string) (message, remedy string) {
	info, err := os.Stat(filepath.Join(m.root, path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return path + " is not there", "connect the shared disk; by-id names do not change from boot to boot"
	case err != nil:
		return err.Error(), "connect the shared disk"
	case info.Mode()&os.ModeDevice == 0 || info.Mode()&os.ModeCharDevice != 0:
		return path + " is not a block device", "name a partition of the shared disk; a file is for tests"
	}
	return "", ""
}

// fenceHere looks at the agents, and at who may read their passwords.
func (c *Config) fenceHere(w *reader, m machine) {
	secret := ""
	for k, s := range c.Servers {
		if s.Fence.Agent == "" {
			continue
		}
		if !m.hasAgent(s.Fence.Agent) {
			w.fail(at("server", k)+".fence.agent", s.Fence.Agent+" is not installed here", "install the package fence-agents")
		}
		for name := range s.Fence.Options {
			if strings.Contains(name, "pass") && !strings.Contains(name, "script") || name == "community" {
				secret = at("server", k) + ".fence.options"
			}
		}
	}
	info, err := os.Stat(c.file)
	if secret != "" && err == nil && info.Mode()&0o044 != 0 {
		w.fail(secret, fmt.Sprintf("a password in a file that others can read (mode %04o)", info.Mode().Perm()), "chmod 600 "+c.file)
	}
}

// hasAgent looks where batond looks.
func (m machine) hasAgent(name string) bool {
	if filepath.IsAbs(name) {
		_, err := os.Stat(filepath.Join(m.root, name))
		return err == nil
	}
	for _, dir := range []string{"usr/sbin", "usr/bin", "usr/local/sbin", "usr/local/bin", "sbin", "bin"} {
		if _, err := os.Stat(filepath.Join(m.root, dir, name)); err == nil {
			return true
		}
	}
	return false
}
