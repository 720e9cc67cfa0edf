package conf

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestKeyRoundTrip(t *testing.T) {
	line := GenerateKey()
	k, err := ParseKey([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	if got := k.encode() + "\n"; got != line {
		t.Errorf("encoded %q, want %q", got, line)
	}
	if len(k.Bytes()) != KeySize {
		t.Errorf("%d bytes, want %d", len(k.Bytes()), KeySize)
	}
	other, err := ParseKey([]byte(GenerateKey()))
	if err != nil {
		t.Fatal(err)
	}
	if k.Equal(other) || k.ID() == other.ID() {
		t.Error("two keys are the same")
	}
}

// Goal: the format does not change by accident: keys outlive versions.
func TestKeyFormat(t *testing.T) {
	const line = "baton-key-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8CNZx6"
	var k Key
	for i := range k.secret {
		k.secret[i] = byte(i)
	}
	if got := k.encode(); got != line {
		t.Errorf("encoded %q, want %q", got, line)
	}
	got, err := ParseKey([]byte(line))
	if err != nil || !got.Equal(k) {
		t.Errorf("parsed %v, %v", got, err)
	}
}

// Goal: what was pasted wrong is refused. Method: every truncation and every change
// of one character of a key.
func TestKeyDamaged(t *testing.T) {
	line := strings.TrimSpace(GenerateKey())
	for i := range line {
		if _, err := ParseKey([]byte(line[:i])); err == nil {
			t.Errorf("the first %d characters are accepted", i)
		}
		if _, err := ParseKey([]byte(line[i+1:])); err == nil {
			t.Errorf("accepted from character %d on", i+1)
		}
		for _, c := range "Az0+=\x00 " {
			damaged := line[:i] + string(c) + line[i+1:]
			if damaged == line {
				continue
			}
			if _, err := ParseKey([]byte(damaged)); err == nil {
				t.Errorf("accepted with %q at %d", c, i)
			}
		}
	}
}

func TestParseKeys(t *testing.T) {
	a, b, c := GenerateKey(), GenerateKey(), GenerateKey()
	for _, tt := range []struct {
		name, text string
		want       []string
		err        string
	}{
		{"one", a, []string{a}, ""},
		{"no newline", strings.TrimSpace(a), []string{a}, ""},
		{"comments", "# new\n\n  " + a + "\r\n#" + c + "# old\n" + b, []string{a, b}, ""},
		{"empty", "", nil, "no key in it; write one with: baton keygen"},
		{"comment only", "# none\n", nil, "no key in it"},
		{"three", a + b + c, nil, "3 keys, more than 2; take the oldest out"},
		{"the same twice", a + a, nil, "line 2: the same as key 1"},
		{"the second is bad", a + "hello\n", nil, "line 2: not a key"},
		{"truncated", a[:30], nil, "line 1: the key has 18 characters behind baton-key-1:, not 48"},
		{"trailing comment", strings.TrimSpace(a) + " # mine", nil, "line 1: the key has 55 characters"},
		{"all zeroes", Key{}.encode(), nil, "line 1: the key is all zeroes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keys, err := ParseKeys([]byte(tt.text))
			if tt.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tt.err) {
					t.Errorf("error %v, want %s...", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for i, k := range keys {
				if i >= len(tt.want) || k.encode()+"\n" != tt.want[i] {
					t.Errorf("key %d is another one", i)
				}
			}
			if len(keys) != len(tt.want) {
				t.Errorf("%d keys, want %d", len(keys), len(tt.want))
			}
		})
	}
}

// Goal: a key does not show, however it is printed. Method: every verb and encoder,
// on the key, a pointer to it and a struct with it; the output must not have the
// secret in any of its forms.
func TestKeyHides(t *testing.T) {
	k, err := ParseKey([]byte(GenerateKey()))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	type holder struct{ K Key }
	for _, v := range []any{k, &k, []Key{k}, holder{k}, map[string]Key{"k": k}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%b", "%o", "%c", "%U"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
		slog.New(slog.NewTextHandler(&out, nil)).Info("a", "key", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("a", "key", v)
	}
	got := out.String()
	if n := strings.Count(got, k.ID()); n < 60 {
		t.Errorf("the ID shows %d times: the key has not been printed", n)
	}
	part := k.secret[:6]
	for name, secret := range map[string]string{
		"raw": string(part), "hex": hex.EncodeToString(part), "base64": base64.StdEncoding.EncodeToString(part),
		"list": strings.Trim(fmt.Sprint(part), "[]"), "goSyntax": strings.Trim(fmt.Sprintf("%#v", part), "[]byte{}"),
	} {
		if strings.Contains(strings.ToLower(got), strings.ToLower(secret)) {
			t.Errorf("the key shows, %s", name)
		}
	}
}

func TestLoadKeys(t *testing.T) {
	dir := t.TempDir()
	line := GenerateKey()
	path := filepath.Join(dir, "cluster.key")
	write := func(mode os.FileMode) {
		t.Helper()
		os.Remove(path) // it may be read-only
		if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, mode := range []os.FileMode{0o600, 0o400} {
		write(mode)
		if k, err := LoadKey(path); err != nil || k.encode()+"\n" != line {
			t.Errorf("mode %o: %v, %v", mode, k, err)
		}
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644} {
		write(mode)
		want := fmt.Sprintf("%s: mode %04o lets others than its owner use it; chmod 600 %s", path, mode, path)
		if _, err := LoadKeys(path); err == nil || err.Error() != want {
			t.Errorf("mode %o: error %v, want %s", mode, err, want)
		}
	}
	write(0o600)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKeys(link); err != nil {
		t.Errorf("a link to a private file: %v", err)
	}
	if _, err := LoadKeys(dir); err == nil || !strings.Contains(err.Error(), "not a file") {
		t.Errorf("a directory: error %v", err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKeys(pipe); err == nil || !strings.Contains(err.Error(), "not a file") {
		t.Errorf("a pipe: error %v", err)
	}
	if _, err := LoadKeys(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "baton keygen > ") {
		t.Errorf("no file: error %v", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	// The owner as seen by some other user: root's files are everybody's to trust.
	st := info.Sys().(*syscall.Stat_t)
	if err := private(path, info, int(st.Uid)+1); (err != nil) != (st.Uid != 0) {
		t.Errorf("file of uid %d, read by another: %v", st.Uid, err)
	}
	st.Uid = 12345
	if err := private(path, info, 0); err == nil || !strings.Contains(err.Error(), "belongs to uid 12345") {
		t.Errorf("file of uid 12345, read by root: %v", err)
	}
}

// Goal: a directory of keys is read file by file: a bad one is named and spoils no
// other; what is no key file is left alone.
func TestLoadKeyDir(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	put("payroll.key", GenerateKey(), 0o600)
	put("給与計算.key", GenerateKey()+GenerateKey(), 0o600)
	put("open.key", GenerateKey(), 0o644)
	put("empty.key", "", 0o600)
	put(".key", GenerateKey(), 0o600)
	put("notes.txt", "x", 0o644)
	keys, err := LoadKeyDir(dir)
	if len(keys) != 2 || len(keys["payroll"]) != 1 || len(keys["給与計算"]) != 2 {
		t.Errorf("got %v", keys)
	}
	for _, want := range []string{"open.key: mode 0644", "empty.key: no key in it", ".key: the name is empty"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if keys, err := LoadKeyDir(dir); err == nil {
		t.Errorf("a directory for everybody: %v", keys)
	}
	if _, err := LoadKeyDir(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
