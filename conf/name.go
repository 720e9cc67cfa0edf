package conf

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Names become the names of files and cgroups, arguments of commands, values of
// environment variables and columns of the console. So they have no '/', no blank, no
// control character, and do not begin with '.' or '-'.

// maxNameBytes keeps a name with what is put around it within the 255 bytes of a
// file name.
const maxNameBytes = 3 * MaxNameLength

// alphabet says which letters a name may have.
type alphabet bool

const (
	ascii  alphabet = false // letters a-z, A-Z, digits
	script alphabet = true  // letters and digits of any script
)

func (a alphabet) holds(r rune) bool {
	if r == '-' || r == '_' || r == '.' {
		return true
	}
	if r < utf8.RuneSelf {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
	}
	return a == script && (unicode.IsLetter(r) || unicode.IsDigit(r))
}

func (a alphabet) String() string {
	if a == script {
		return "letters, digits, '-', '_' and '.'"
	}
	return "a-z, A-Z, 0-9, '-', '_' and '.'"
}

// badName returns what is wrong with a name and what to write, or "".
func badName(s string, a alphabet) (message, remedy string) {
	remedy = fmt.Sprintf("write 1 to %d of %v", MaxNameLength, a)
	n := utf8.RuneCountInString(s)
	switch {
	case s == "":
		return "is empty", remedy
	case n > MaxNameLength:
		return fmt.Sprintf("%s has %d characters, more than %d", quote(s), n, MaxNameLength), remedy
	case len(s) > maxNameBytes:
		return fmt.Sprintf("%s has %d bytes, more than %d", quote(s), len(s), maxNameBytes), "write a shorter name"
	case s[0] == '.' || s[0] == '-':
		return fmt.Sprintf("%s begins with %q", quote(s), s[0]), "begin it with a letter or digit"
	}
	for _, r := range norm.NFC.String(s) {
		if !a.holds(r) {
			return fmt.Sprintf("%s has the character %q", quote(s), r), remedy
		}
	}
	if c := norm.NFC.String(s); c != s {
		return quote(s) + " has a letter with its mark apart", "type it anew, composed: " + quote(c)
	}
	return "", ""
}

// fold makes names alike that people would take for one: by case, and by full and
// half width.
func fold(s string) string { return strings.ToLower(norm.NFKC.String(s)) }

func isControl(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }
