package conf

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// golden compares got with a file, or writes the file where BATON_UPDATE is set.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if os.Getenv("BATON_UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; BATON_UPDATE=1 writes it anew):\n%s", path, diff)
	}
}

// Goal: each fault is reported as it should be, and alone. Method: one fixture a
// fault, whose first line says what it shows; the problems, or the warnings where the
// file is right, stand in the golden file beside it.
func TestFixtures(t *testing.T) {
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".toml"), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(strings.TrimPrefix(string(src), "\ufeff"), "#") {
				t.Error("the first line is not a comment")
			}
			c, err := Parse(filepath.Base(file), src)
			var b strings.Builder
			if err != nil {
				b.WriteString(err.Error() + "\n")
				for _, p := range err.(Problems) {
					if p.Remedy == "" {
						t.Errorf("no remedy: %v", p)
					}
				}
			} else {
				b.WriteString("ok\n")
				for _, p := range c.Warnings() {
					b.WriteString(p.text("warning") + "\n")
				}
			}
			golden(t, strings.TrimSuffix(file, ".toml")+".golden", b.String())
		})
	}
}

// Goal: ten different faults in one file are all listed, each with its own line and a
// remedy, and nothing besides. Method: each faulty line says its number.
func TestTenFaults(t *testing.T) {
	const path = "testdata/ten-faults.toml"
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var want []int
	for i, line := range strings.Split(string(src), "\n") {
		if strings.Contains(line, fmt.Sprintf("# %d: ", len(want)+1)) {
			want = append(want, i+1)
		}
	}
	_, err = Load(path)
	var got []int
	for _, p := range err.(Problems) {
		got = append(got, p.Line)
		if p.Key == "" || p.Message == "" || p.Remedy == "" {
			t.Errorf("no key, message or remedy: %v", p)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) != 10 {
		t.Errorf("lines of %d faults (-want +got):\n%s", len(want), diff)
	}
}
