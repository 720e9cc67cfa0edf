package lab_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"baton/contrib/lab"
	"baton/core/cluster"
	"baton/daemon/api"
)

// Users of a server, as its passwd and group have them.
const (
	permissionsPasswd = "root:x:0:0::/:/bin/sh\nolga:x:4001:4001::/:/bin/sh\nviktor:x:4002:4002::/:/bin/sh\nsven:x:4003:4003::/:/bin/sh\n"
	permissionsGroup  = "root:x:0:\nolga:x:4001:\nviktor:x:4002:\nsven:x:4003:\nbaton:x:5001:olga\nbaton-view:x:5002:viktor\n"
)

// Who is in the group baton may do everything, who is in baton-view sees everything and
// can change nothing, and anybody else sees nothing. Method: real users of a server, by
// setuid and setgroups, call the real program; each call says what came of it by exit code
// and text, and what was refused has changed nothing.
func TestPermissions(t *testing.T) {
	t.Parallel()
	c := lab.Start(t, lab.Servers(2), lab.Timeout(playTimeout), lab.Tiebreaker("witness"), func(o *lab.Options) {
		o.Etc = map[string]string{"passwd": permissionsPasswd, "group": permissionsGroup}
	})
	s := c.Get("server1")
	baton := func(as *lab.Account, line string) (string, int) {
		t.Helper()
		ctx, cancel := contextOf(playLimit)
		defer cancel()
		text, code, err := lab.Baton{As: as}.Run(ctx, s, strings.Fields(line)...)
		if err != nil && as != nil && strings.Contains(err.Error(), "invalid argument") {
			// An ordinary user's namespace has himself in it and nobody else.
			t.Skipf("no other users in this user namespace, run it as root; daemon/api TestPermissions holds the rules: %v", err)
		}
		must(t, err)
		return text, code
	}
	operator := &lab.Account{UID: 4001, GID: 4001, Groups: []int{5001}}
	viewer := &lab.Account{UID: 4002, GID: 4002, Groups: []int{5002}}
	viewerByMain := &lab.Account{UID: 4002, GID: 5002}
	stranger := &lab.Account{UID: 4003, GID: 4003}

	looks := []struct{ line, want string }{
		{"status", "server2"},
		{"status --json", `"operator": `},
		{"events", "the cluster starts with"},
		{"events --json -n 3", `"code"`},
		{"why A", "on server1"},
		{"log A", "exit code 0"},
		{"simulate server1 fails", "server2"},
		{"", "server2"}, // no terminal: the picture as text
	}
	changes := []string{
		"stop A", "start A", "move A server2", "failover A", "restart A", "disconnect server2", "return server2",
		"shutdown server2 --yes", "shutdown --cluster --yes", "shutdown --cluster --poweroff --yes", "return server1 --force --yes",
	}
	before, err := c.Status(t.Context())
	must(t, err)
	runs, err := c.Journal()
	must(t, err)
	for _, who := range []*lab.Account{viewer, viewerByMain} {
		for _, l := range looks {
			if text, code := baton(who, l.line); code != 0 || !strings.Contains(text, l.want) {
				t.Errorf("a viewer: baton %s: exit code %d, want 0 and %q:\n%s", l.line, code, l.want, text)
			}
		}
		for _, line := range changes {
			const want = "baton: user viktor may not operate (ask root, or have root add viktor to group baton and log in again)\n"
			if text, code := baton(who, line); code != 1 || text != want {
				t.Errorf("a viewer: baton %s: exit code %d, want 1; says %q, want %q", line, code, text, want)
			}
		}
	}
	for _, l := range looks {
		const want = "user sven may not look at the cluster (ask root, or have root add sven to group baton-view (to look) or baton (to operate) and log in again)"
		if text, code := baton(stranger, l.line); code != 1 || !strings.Contains(text, want) || strings.Contains(text, "server2") {
			t.Errorf("a stranger: baton %s: exit code %d, want 1 and %q:\n%s", l.line, code, want, text)
		}
	}
	for _, line := range changes {
		if text, code := baton(stranger, line); code != 1 || !strings.Contains(text, "user sven may not ") || strings.Contains(text, "accepted") {
			t.Errorf("a stranger: baton %s: exit code %d, want 1 and a refusal: %q", line, code, text)
		}
	}
	after, err := c.Status(t.Context())
	must(t, err)
	now, err := c.Journal()
	must(t, err)
	if len(now) != len(runs) || len(after.Ops) != len(before.Ops) {
		t.Errorf("refused commands have changed something: %d operations, now %d; %d runs, now %d", len(before.Ops), len(after.Ops), len(runs), len(now))
	}
	for i, g := range after.Groups {
		if b := before.Groups[i]; g.State != b.State || g.Server != b.Server || g.Since != b.Since {
			t.Errorf("%s: %s on %s since %d, was %s on %s since %d", g.Name, g.State, g.Server, g.Since, b.State, b.Server, b.Since)
		}
	}

	end := c.HandOver()
	defer end()
	if text, code := baton(operator, "move A server2"); code != 0 || !strings.Contains(text, "done") {
		t.Fatalf("an operator: exit code %d: %s", code, text)
	}
	c.WaitOnline("A", "server2")

	// Who it was is on record, in the words of the event and as fields.
	text, code := baton(viewer, "events --json")
	if code != 0 {
		t.Fatalf("events --json: exit code %d: %s", code, text)
	}
	var accepted []cluster.Event
	for line := range strings.Lines(text) {
		var e cluster.Event
		must(t, json.Unmarshal([]byte(line), &e))
		if e.Code == cluster.CodeOpAccepted {
			accepted = append(accepted, e)
		}
	}
	if len(accepted) != 1 || !strings.HasPrefix(accepted[0].Who, "olga") || accepted[0].By.UID != 4001 || accepted[0].By.User != "olga" ||
		accepted[0].By.On != "server1" || !strings.Contains(accepted[0].Text, "asked for by olga") {
		t.Errorf("on record: %+v, want one operation, of olga (4001), asked of server1", accepted)
	}
	c.Verify()
}

// What an operator says of where he sits, by SSH_CONNECTION or by the API, is recorded as
// his own word and not as a fact.
func TestRecordOfWhoAsked(t *testing.T) {
	t.Parallel()
	c := lab.Start(t, lab.Servers(2), lab.Timeout(playTimeout), lab.Tiebreaker("witness"))
	end := c.HandOver()
	defer end()
	ctx, cancel := contextOf(playLimit)
	defer cancel()
	text, code, err := lab.Baton{Env: []string{"SSH_CONNECTION=198.51.100.7 4711 10.0.0.11 22"}}.Run(ctx, c.Get("server1"), "move", "A", "server2")
	must(t, err)
	if code != 0 {
		t.Fatalf("move: exit code %d: %s", code, text)
	}
	st := c.WaitStatus("the move has ended", func(s *api.Status) bool { return len(s.Ops) == 1 && s.Ops[0].State == cluster.OpDone })
	who := st.Ops[0].Who
	if who.User != "root" || who.UID != 0 || who.From != "" || who.Says != "ssh 198.51.100.7" || who.On != "server1" {
		t.Errorf("on record: %+v; want root, and the SSH client as his own word", who)
	}
	if want := "root (says: ssh 198.51.100.7)"; who.String() != want {
		t.Errorf("in words: %q, want %q", who, want)
	}
	for _, s := range c.Servers { // every server has it
		text, code, err := lab.Baton{}.Run(ctx, s, "events")
		must(t, err)
		if want := fmt.Sprintf("move A to server2, asked for by %s", who); code != 0 || !strings.Contains(text, want) {
			t.Errorf("%s: exit code %d, want %q:\n%s", s.Name, code, want, text)
		}
	}
	c.Verify()
}
