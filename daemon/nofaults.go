//go:build !faults

package main

import (
	"time"

	"baton/core/node"
)

// weakness and wallTime are where a build with the tag "faults" (faults.go) differs.

func weakness() node.Weakness { return 0 }

func wallTime() int64 { return time.Now().UnixMilli() }
