package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// Goal: the systemd unit calls batond with options that it has, and has what the
// guard's rules need: batond alone is killed, and the stop hook clears.
func TestUnit(t *testing.T) {
	text, err := os.ReadFile("../contrib/systemd/batond.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			unit[key] = value
		}
	}
	for key, cleanup := range map[string]bool{"ExecStart": false, "ExecStopPost": true} {
		words := strings.Fields(unit[key])
		if len(words) == 0 || words[0] != "/usr/sbin/batond" {
			t.Errorf("%s=%s", key, unit[key])
			continue
		}
		o, err := parseOptions(words[1:], &bytes.Buffer{})
		if err != nil || o.cleanup != cleanup || o.config != defaultConfig {
			t.Errorf("%s: %+v, %v", key, o, err)
		}
	}
	for key, want := range map[string]string{
		"KillMode": "process", "Delegate": "yes", "RuntimeDirectoryPreserve": "yes", "RestartPreventExitStatus": "2",
	} {
		if unit[key] != want {
			t.Errorf("%s=%s, want %s", key, unit[key], want)
		}
	}
}
