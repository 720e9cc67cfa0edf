package power

import (
	"strings"
	"testing"

	"baton/core/cluster"
)

// Goal: no test, no lab and no container ever ends the machine it runs on. Method: the
// decision is a pure function; every line here that is not refused says by which way.
func TestDecide(t *testing.T) {
	const lab = "pid:[4026533000]"
	for name, c := range map[string]struct {
		f    facts
		way  way
		want string // of the refusal
	}{
		"systemd":                     {facts{armed: true, namespace: initialPID, first: "systemd", systemd: true, machine: true}, bySystemd, ""},
		"in a network of its own":     {facts{armed: true, namespace: initialPID, first: "systemd", systemd: true}, 0, "not the machine's own"},
		"another init":                {facts{armed: true, namespace: initialPID, first: "init", machine: true}, byInit, ""},
		"systemd in a container":      {facts{armed: true, namespace: lab, first: "systemd", systemd: true}, bySystemd, ""},
		"not armed":                   {facts{namespace: initialPID, first: "systemd", systemd: true}, 0, "not batond"},
		"not armed in the lab":        {facts{env: lab, namespace: lab, first: "init of server1"}, 0, "not batond"},
		"forbidden":                   {facts{armed: true, env: Never, namespace: initialPID, first: "systemd", systemd: true}, 0, "forbids"},
		"forbidden in the lab":        {facts{armed: true, env: Never, namespace: lab}, 0, "forbids"},
		"no init":                     {facts{armed: true, namespace: initialPID, first: "process_api"}, 0, "not an init"},
		"container of one program":    {facts{armed: true, namespace: lab, first: "bash"}, 0, "not an init"},
		"no /proc":                    {facts{armed: true, first: "systemd", systemd: true}, 0, "not known"},
		"lab":                         {facts{armed: true, env: lab, namespace: lab, first: "init of server1"}, byNamespace, ""},
		"lab beside systemd's /run":   {facts{armed: true, env: lab, namespace: lab, first: "systemd", systemd: true}, byNamespace, ""},
		"lab that fell out":           {facts{armed: true, env: lab, namespace: initialPID, first: "systemd", systemd: true}, 0, "allows it there only"},
		"lab in another namespace":    {facts{armed: true, env: lab, namespace: "pid:[4026533001]"}, 0, "allows it there only"},
		"lab that names the machine":  {facts{armed: true, env: initialPID, namespace: initialPID, first: "systemd"}, 0, "is to protect"},
		"lab without a known process": {facts{armed: true, env: lab}, 0, "not known"},
	} {
		way, err := c.f.decide()
		if way != c.way || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %d, %v; want %d, %q", name, way, err, c.way, c.want)
		}
	}
}

// This program is a test and not batond: whatever is asked of it is refused, and the
// test goes on to say so.
func TestRefusedHere(t *testing.T) {
	t.Setenv(Env, Never) // should the first protection ever break, the second holds
	for _, then := range []cluster.Then{cluster.ThenPowerOff, cluster.ThenReboot} {
		if err := InOrder(then); err == nil || !strings.Contains(err.Error(), "not batond") {
			t.Errorf("%s: %v, want a refusal", then, err)
		}
	}
	if err := Check(); err == nil {
		t.Error("check: want a refusal")
	}
	if err := InOrder("explode"); err == nil || strings.Contains(err.Error(), "not batond") {
		t.Errorf("an unknown end: %v", err)
	}
}

// The namespace is looked at once more right before the call.
func TestEndNamespaceLooksAgain(t *testing.T) {
	for _, env := range []string{"", Never, initialPID, "pid:[1]"} {
		t.Setenv(Env, env)
		f := look()
		if f.env == f.namespace && f.namespace != initialPID {
			t.Fatalf("%s would be allowed here: not tried", env)
		}
		if err := endNamespace(-1); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%s=%s: %v, want a refusal", Env, env, err)
		}
	}
}

func TestArgvs(t *testing.T) {
	got := argvs(bySystemd, "poweroff")
	if len(got) != 2 || !strings.HasSuffix(got[0][0], "/systemctl") || got[0][2] != "poweroff" || !strings.HasSuffix(got[1][0], "/poweroff") {
		t.Errorf("systemd: %q", got)
	}
	if got := argvs(byInit, "reboot"); len(got) != 1 || !strings.HasSuffix(got[0][0], "/reboot") {
		t.Errorf("init: %q", got)
	}
}
