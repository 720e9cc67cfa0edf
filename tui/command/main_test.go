package command

import (
	"os"
	"testing"
	"time"
)

// The terminal tests run this binary as baton.
func TestMain(m *testing.M) {
	if os.Getenv("BATON_TEST_IS_BATON") != "" {
		os.Exit(Run("test", os.Args[1:]))
	}
	time.Local = time.UTC
	os.Exit(m.Run())
}
