package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"baton/conf"
)

// ConfigPath is the configuration file, the same for every server.
func (l *Lab) ConfigPath() string { return filepath.Join(l.dir, "baton.toml") }

// JournalPath is where the scripts write every run.
func (l *Lab) JournalPath() string { return filepath.Join(l.dir, "journal") }

// configure writes the key, the scripts and baton.toml.
func (l *Lab) configure() error {
	key := filepath.Join(l.dir, "cluster.key")
	if err := os.WriteFile(key, []byte(conf.GenerateKey()), 0o600); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(l.dir, "env"), 0o755); err != nil {
		return err
	}
	for _, g := range l.opts.Groups {
		if g.NoScripts {
			continue
		}
		for kind, body := range map[string]string{"start": g.Start, "stop": g.Stop} {
			path := filepath.Join(l.scripts(), g.Name, kind)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(path, []byte(l.scriptText(g, kind, body)), 0o755); err != nil {
				return err
			}
		}
	}
	return os.WriteFile(l.ConfigPath(), []byte(l.configText(key)), 0o644)
}

// scripts is the directory of the groups' scripts; servers see it as scriptDir.
func (l *Lab) scripts() string { return filepath.Join(l.dir, "scripts") }

func (l *Lab) configText(key string) string {
	var b strings.Builder
	q := strconv.Quote
	o := &l.opts
	fmt.Fprintf(&b, "[cluster]\nname = \"lab\"\nkey_file = %s\n\n", q(key))
	fmt.Fprintf(&b, "[heartbeat]\ninterval = %s\ntimeout = %s\n\n", q(o.Interval.String()), q(o.Timeout.String()))
	fmt.Fprintf(&b, "[startup]\nwait = %s\n", q(o.StartupWait.String()))
	if o.ReturnAuto {
		fmt.Fprintf(&b, "\n[recovery]\nreturn = \"auto\"\n")
	}
	b.WriteString(l.tiebreakerText())
	for _, s := range l.Servers {
		var lans []string
		for _, n := range l.interconnects() {
			lans = append(lans, q(s.Addr(n).String()))
		}
		fmt.Fprintf(&b, "\n[[server]]\nname = %s\ninterconnect = [%s]\npublic = %s\n", q(s.Name), strings.Join(lans, ", "), q(s.Addr(Public).String()))
		b.WriteString(l.fenceText(s))
	}
	for _, g := range o.Groups {
		var policy []string
		for _, p := range g.Policy {
			policy = append(policy, q(p))
		}
		fmt.Fprintf(&b, "\n[[group]]\nname = %s\npolicy = [%s]\nautostart = %t\n", q(g.Name), strings.Join(policy, ", "), !g.Manual)
		if !g.NoScripts {
			fmt.Fprintf(&b, "start_script = %s\nstop_script = %s\n", q(filepath.Join(scriptDir, g.Name, "start")), q(filepath.Join(scriptDir, g.Name, "stop")))
		}
		if g.Config != "" {
			fmt.Fprintf(&b, "%s\n", strings.TrimSpace(g.Config))
		}
		fmt.Fprintf(&b, "[[group.floating_ip]]\naddress = %s\n", q(g.Address))
	}
	if o.Config != "" {
		fmt.Fprintf(&b, "\n%s\n", o.Config)
	}
	return b.String()
}

// scriptText is a start or stop script: the journal line, what the group wants, the
// journal line. Only what the shell itself can do, so that a run costs a millisecond;
// times are the server's own CLOCK_BOOTTIME by /proc/uptime, to 10 ms, with what it is
// ahead of the lab's. A line is one write, so the
// journal's order is the true order, over all servers. The environment is kept whole
// in a file beside.
func (l *Lab) scriptText(g Group, kind, body string) string {
	journal := "'" + l.JournalPath() + "'"
	env := "'" + filepath.Join(l.dir, "env") + "'"
	if l.opts.Mounts {
		body = l.mountScript(&g, kind) + body
	}
	if body == "" {
		body = ":"
	}
	return `#!/bin/sh
# ` + kind + ` script of group ` + g.Name + ` in a lab.
read up idle </proc/uptime
read host </proc/sys/kernel/hostname
read ahead <` + RunDir + "/" + clockFile + `
run=$host.$$.$up
export -p >` + env + `/$run
echo "begin ` + g.Name + ` ` + kind + ` $host $up-$ahead $run event=$ARMS_EVENT factor=$ARMS_FACTOR server=$ARMS_SERVER disk=$ARMS_DISK priority=$ARMS_PRIORITY token=$BATON_TOKEN" >>` + journal + `
(
` + body + `
)
code=$?
read up idle </proc/uptime
echo "end ` + g.Name + ` ` + kind + ` $host $up-$ahead $run code=$code" >>` + journal + `
exit $code
`
}
