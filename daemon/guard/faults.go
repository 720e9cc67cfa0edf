//go:build faults

package guard

import (
	"bytes"
	"fmt"
	"os"
)

// sparesAll: with noguard among the words of batond's BATON_FAULTS the guard says that
// it has cleared everything and has cleared nothing. The guard has a clean environment,
// so the word is looked for in that of the batond that has started it.
func sparesAll() bool { return spares }

// spares is found out at the start: later that batond may be gone.
var spares = func() bool {
	for _, who := range []string{"self", fmt.Sprint(os.Getppid())} {
		text, _ := os.ReadFile("/proc/" + who + "/environ")
		for _, line := range bytes.Split(text, []byte{0}) {
			if words, ok := bytes.CutPrefix(line, []byte("BATON_FAULTS=")); ok {
				return bytes.Contains(words, []byte("noguard"))
			}
		}
	}
	return false
}()
