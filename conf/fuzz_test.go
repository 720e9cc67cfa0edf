package conf

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Goal: whatever the source, Parse returns; it returns a Config or problems; each
// problem has a line within the file, a message and a remedy of one line; a Config
// holds what its comments promise; and where the parser accepts the source, the
// scanner has found every key of it. Seeds: the fixtures and the examples.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/*.toml", "examples/*.toml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("no seeds in %s: %v", pattern, err)
		}
		for _, file := range files {
			src, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(src)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		before := bytes.Clone(src)
		begin := time.Now()
		c, err := Parse("x.toml", src)
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("took %v for %d bytes", took, len(src))
		}
		if !bytes.Equal(before, src) {
			t.Error("Parse has changed its source")
		}
		if err != nil {
			holdsProblems(t, err, src)
			return
		}
		holdsConfig(t, c)
		for _, p := range c.Warnings() {
			holdsProblem(t, p, src)
		}
		if s := strings.TrimPrefix(string(src), "\ufeff"); !strings.Contains(s, `\`) { // keys with escapes may be misread
			if missing, err := unfound(s); err != nil || len(missing) > 0 {
				t.Errorf("lines not found: %v, %v", missing, err)
			}
		}
	})
}

func holdsProblems(t *testing.T, err error, src []byte) {
	t.Helper()
	ps, ok := err.(Problems)
	if !ok || len(ps) == 0 {
		t.Fatalf("error of type %T with %d problems", err, len(ps))
	}
	for i, p := range ps {
		holdsProblem(t, p, src)
		if i > 0 && p.Line < ps[i-1].Line {
			t.Errorf("line %d stands behind line %d", p.Line, ps[i-1].Line)
		}
	}
}

func holdsProblem(t *testing.T, p Problem, src []byte) {
	t.Helper()
	if last := 1 + bytes.Count(src, []byte{'\n'}); p.Line < 1 || p.Line > last {
		t.Errorf("line %d of %d: %v", p.Line, last, p)
	}
	if p.Message == "" || p.Remedy == "" || strings.ContainsAny(p.Error(), "\n\r\x1b") {
		t.Errorf("not one line of message and remedy: %q", p.Error())
	}
}

func holdsConfig(t *testing.T, c *Config) {
	t.Helper()
	if n := len(c.Servers); n < MinServers || n > MaxServers {
		t.Errorf("%d servers", n)
	}
	seen := map[string]bool{}
	for i := range c.Servers {
		if n := len(c.Paths(i, 0)); n != c.PathCount() || n < 1 || n > MaxInterconnects+1 {
			t.Errorf("server %d has %d paths, not %d", i, n, c.PathCount())
		}
		for _, p := range c.Paths(i, 0) {
			if !p.Local.IsValid() || p.Local.Is4() != p.Remote.Is4() || seen[p.Local.String()] {
				t.Errorf("server %d: path %v", i, p)
			}
			seen[p.Local.String()] = true
		}
	}
	for _, g := range c.Groups {
		if g.Name == "" || len(g.Policy) == 0 || strings.ContainsAny(g.Name, "/\x00\n ") {
			t.Errorf("group %q with policy %q", g.Name, g.Policy)
		}
		for _, s := range g.Policy {
			if c.Index(s) < 0 {
				t.Errorf("group %s: no server %q", g.Name, s)
			}
		}
		for _, f := range g.FloatingIPs {
			if seen[f.Address.String()] {
				t.Errorf("address %v twice", f.Address)
			}
			seen[f.Address.String()] = true
		}
	}
	h := c.Heartbeat
	if h.Interval.D() < MinInterval || h.Interval.D()*MinRounds > h.Timeout.D() || h.Timeout.D() > MaxTimeout {
		t.Errorf("heartbeat %v", h)
	}
}

// Goal: a key file is read or refused, never with a key in the error.
func FuzzParseKeys(f *testing.F) {
	line := GenerateKey()
	f.Add([]byte(line))
	f.Add([]byte("# old\n" + line + "\n" + GenerateKey()))
	f.Add([]byte(line[:40]))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := ParseKeys(text)
		if (err == nil) != (len(keys) > 0) || len(keys) > MaxKeys {
			t.Errorf("%d keys, error %v", len(keys), err)
		}
		for _, k := range keys {
			again, err := ParseKey([]byte(k.encode()))
			if err != nil || !again.Equal(k) {
				t.Errorf("%v is not read back: %v", k, err)
			}
		}
		if err != nil && len(err.Error()) > 200 {
			t.Errorf("error of %d bytes", len(err.Error()))
		}
	})
}
