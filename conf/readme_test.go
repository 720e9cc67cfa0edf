package conf

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rows are the cells of the table that follows a heading of README.md.
func rows(t *testing.T, heading string) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("no heading %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ---") || strings.HasPrefix(line, "| key |") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	return rows
}

func unticked(s string) string { return strings.Trim(s, "`") }

// Goal: README.md has every key that is accepted, no other, and the defaults that the
// code has.
func TestReadmeKeys(t *testing.T) {
	var want []string
	for table, keys := range accepted {
		for _, k := range keys {
			if _, isTable := accepted[under(table, k)]; !isTable {
				want = append(want, under(table, k))
			}
		}
	}
	defaults := map[string]string{
		"cluster.key_file":  DefaultKeyFile,
		"cluster.state_dir": DefaultStateDir, "cluster.port": strconv.Itoa(DefaultPort),
		"heartbeat.timeout": Of(DefaultTimeout).String(), "startup.wait": Of(DefaultWait).String(),
		"recovery.return": Manual, "recovery.on_quorum_loss": OnQuorumLossStop, "recovery.watchdog": "none", "tiebreaker.kind": TiebreakerNone,
		"tiebreaker.device": "none", "tiebreaker.address": "none", "server.fence.delay": "0s",
		"group.autostart": "true", "group.failback": Manual, "group.script_timeout": Of(DefaultScriptTimeout).String(),
		"group.monitor.on_anomaly": OnAnomalyFailover, "group.monitor.failover_to": FailoverToPriority,
		"group.monitor.max_failovers": strconv.Itoa(DefaultMaxFailovers),
	}
	var got []string
	for _, row := range rows(t, "Keys") {
		if len(row) != 5 {
			t.Errorf("%d cells in the row of %s, want 5", len(row), row[0])
			continue
		}
		key := unticked(row[0])
		got = append(got, key)
		if d, ok := defaults[key]; ok && unticked(row[1]) != d {
			t.Errorf("%s: default %s, want %s", key, row[1], d)
		}
		if row[2] == "" || row[3] == "" {
			t.Errorf("%s: no range or no meaning", key)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("documented keys (-accepted +documented):\n%s", diff)
	}
}

// Goal: README.md has everything that is refused as not supported yet.
func TestReadmeLater(t *testing.T) {
	var want, got []string
	for key := range later {
		want = append(want, key)
	}
	for key, values := range laterChoices {
		for _, v := range values {
			want = append(want, key+" "+v)
		}
	}
	choice := regexp.MustCompile(`"([a-z_]+)"`)
	for _, row := range rows(t, "Not supported yet") {
		key, values, isChoice := strings.Cut(row[0], " = ")
		switch {
		case isChoice:
			for _, m := range choice.FindAllStringSubmatch(values, -1) {
				got = append(got, unticked(key)+" "+m[1])
			}
		case strings.HasPrefix(key, "`"):
			got = append(got, unticked(key))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-refused +documented):\n%s", diff)
	}
}

// Goal: three-servers.toml has every key there is, as its first lines say, but those
// of the tie-breakers and the watchdog, which the examples beside it have.
func TestExampleIsComplete(t *testing.T) {
	seen := map[string]bool{}
	read := func(name string, only ...string) {
		t.Helper()
		text, err := os.ReadFile("examples/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for path := range scan(string(text)).lines {
			if key := documented(path); only == nil || slices.ContainsFunc(only, func(s string) bool { return strings.HasPrefix(key, s) }) {
				seen[key] = true
			}
		}
	}
	read("three-servers.toml")
	for _, name := range []string{"disk", "witness", "fence"} {
		read("two-servers-"+name+".toml", "tiebreaker.", "server.fence", "recovery.watchdog")
	}
	for table, keys := range accepted {
		for _, k := range keys {
			if !seen[under(table, k)] {
				t.Errorf("%s is not in it", under(table, k))
			}
		}
	}
}
