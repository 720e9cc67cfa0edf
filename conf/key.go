package conf

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// KeySize is the length of a cluster key, in bytes.
const KeySize = 32

// MaxKeys in one key file. Rotation needs two.
const MaxKeys = 2

const (
	keyPrefix = "baton-key-1:"
	// checkSize bytes of checksum behind the key show a truncated or mistyped one:
	// one in four thousand million gets through.
	checkSize = 4
)

// Key is a cluster key, from which every server derives what seals its traffic. It
// never shows itself: in whatever way it is printed, logged or marshalled, only its
// ID comes out.
type Key struct {
	secret [KeySize]byte
}

// GenerateKey returns a line for a key file, newline included, with a new random key.
func GenerateKey() string {
	var k Key
	rand.Read(k.secret[:]) // never fails (Go 1.24)
	return k.encode() + "\n"
}

func (k Key) encode() string {
	sum := k.sum("checksum")
	return keyPrefix + base64.StdEncoding.EncodeToString(append(k.secret[:], sum[:checkSize]...))
}

// sum is a hash of the key for one purpose; that for another tells nothing of it.
func (k Key) sum(purpose string) [sha256.Size]byte {
	return sha256.Sum256(append([]byte("baton key "+purpose+"\x00"), k.secret[:]...))
}

// Bytes is a copy of the secret itself: KeySize bytes, to derive keys from and for
// nothing else.
func (k Key) Bytes() []byte { return k.secret[:] }

// ID tells keys apart without giving them away: 8 hexadecimal digits.
func (k Key) ID() string {
	sum := k.sum("id")
	return hex.EncodeToString(sum[:4])
}

// Equal compares in constant time.
func (k Key) Equal(o Key) bool { return subtle.ConstantTimeCompare(k.secret[:], o.secret[:]) == 1 }

// String hides the key.
func (k Key) String() string { return "key " + k.ID() }

// Format hides the key from every verb of fmt.
func (k Key) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

// LogValue hides the key from slog.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText hides the key from encoders.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// ParseKey reads the text of a key file and returns its first key, the one to seal
// with.
func ParseKey(text []byte) (Key, error) {
	keys, err := ParseKeys(text)
	if err != nil {
		return Key{}, err
	}
	return keys[0], nil
}

// ParseKeys reads the text of a key file: one key a line, newest first; empty lines
// and lines that begin with # do not count. The first key seals; every one opens.
// To rotate: put the new key second on all servers, then first on all, then take the
// old one out.
//
// No error has any part of a key in it.
func ParseKeys(text []byte) ([]Key, error) {
	if len(text) > MaxFileSize {
		return nil, fmt.Errorf("%d bytes, more than %d: is it a key file?", len(text), MaxFileSize)
	}
	var keys []Key
	n := 0
	for line := range strings.Lines(strings.TrimPrefix(string(text), "\ufeff")) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		k, err := parseKeyLine(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		for i, o := range keys {
			if k.Equal(o) {
				return nil, fmt.Errorf("line %d: the same as key %d; take one of the two out", n, i+1)
			}
		}
		keys = append(keys, k)
	}
	switch {
	case len(keys) == 0:
		return nil, errors.New("no key in it; write one with: baton keygen")
	case len(keys) > MaxKeys:
		return nil, fmt.Errorf("%d keys, more than %d; take the oldest out", len(keys), MaxKeys)
	}
	return keys, nil
}

func parseKeyLine(line string) (k Key, err error) {
	encoded, ok := strings.CutPrefix(line, keyPrefix)
	if !ok {
		return k, fmt.Errorf("not a key: it does not begin with %s; write one with: baton keygen", keyPrefix)
	}
	const want = KeySize + checkSize
	if n, full := len(encoded), base64.StdEncoding.EncodedLen(want); n != full {
		return k, fmt.Errorf("the key has %d characters behind %s, not %d; copy the whole line again", n, keyPrefix, full)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || len(raw) != want { // it passes over carriage returns
		return k, errors.New("the key has a character that keys do not have; copy the whole line again")
	}
	copy(k.secret[:], raw)
	sum := k.sum("checksum")
	if subtle.ConstantTimeCompare(sum[:checkSize], raw[KeySize:]) != 1 {
		return Key{}, errors.New("the key's checksum is wrong; copy the whole line again")
	}
	if k == (Key{}) {
		return Key{}, errors.New("the key is all zeroes; write one with: baton keygen")
	}
	return k, nil
}

// LoadKey returns the first key of a key file (LoadKeys), the one to seal with.
func LoadKey(path string) (Key, error) {
	keys, err := LoadKeys(path)
	if err != nil {
		return Key{}, err
	}
	return keys[0], nil
}

// LoadKeys reads a key file, newest key first. It refuses a file that anybody but its
// owner can read, or that belongs to somebody other than root and the caller: whoever
// has the key is the cluster.
func LoadKeys(path string) ([]Key, error) {
	// O_NONBLOCK, so that a named pipe cannot hold the start up.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%w; write one on one server with: (umask 077; baton keygen > %s), and copy it to the others", err, path)
		}
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := private(path, info, os.Geteuid()); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, MaxFileSize+1))
	if err != nil {
		return nil, err
	}
	keys, err := ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

// keyExt is the ending of the files that LoadKeyDir reads.
const keyExt = ".key"

// LoadKeyDir reads the key files of a directory, NAME.key, as a witness has one for each
// of its clusters, by NAME. Files that cannot be used are left out, and are in the
// error, which so does not mean that there are no keys.
func LoadKeyDir(dir string) (map[string][]Key, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return nil, fmt.Errorf("%s: mode %04o lets others than its owner put keys there; chmod 700 %s", dir, mode, dir)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"+keyExt))
	if err != nil {
		return nil, err
	}
	all := map[string][]Key{}
	var faults []error
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), keyExt)
		if message, remedy := badName(name, script); message != "" {
			faults = append(faults, fmt.Errorf("%s: the name %s; %s", path, message, remedy))
			continue
		}
		keys, err := LoadKeys(path)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		all[name] = keys
	}
	return all, errors.Join(faults...)
}

// private says why a key file is no secret, nil if it is one.
func private(path string, info os.FileInfo, euid int) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: not a file; name the file that baton keygen has written", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s: mode %04o lets others than its owner use it; chmod 600 %s", path, mode, path)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != euid {
		return fmt.Errorf("%s: belongs to uid %d; chown root %s", path, st.Uid, path)
	}
	return nil
}
