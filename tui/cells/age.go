package cells

import (
	"fmt"
	"time"
)

// Age is a length of time in at most five cells and with no more digits than change
// slowly: a screen on which nothing happens shall stand still.
func Age(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d/time.Second))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d/time.Minute))
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02d", int(d/time.Hour), int(d/time.Minute)%60)
	case d < 10*24*time.Hour:
		return fmt.Sprintf("%dd%02d", int(d/(24*time.Hour)), int(d/time.Hour)%24)
	}
	return fmt.Sprintf("%dd", min(int(d/(24*time.Hour)), 9999))
}

// Took is how long something took, with two digits that mean something.
func Took(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.3f s", d.Seconds())
	case d < time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return Age(d)
}
