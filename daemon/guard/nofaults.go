//go:build !faults

package guard

// sparesAll is where a build with the tag "faults" (faults.go) differs.
func sparesAll() bool { return false }
