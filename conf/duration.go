package conf

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time as the configuration file writes it: "500ms", "3s",
// "1h30m". It is a struct and not a time.Duration because TOML's interval = 5 would
// silently become 5 ns. The zero value is no time at all.
type Duration struct{ d time.Duration }

// Of makes a Duration.
func Of(d time.Duration) Duration { return Duration{d} }

// D is the duration as the standard library has it.
func (d Duration) D() time.Duration { return d.d }

// UnmarshalText reads "500ms", "3s", "1h30m". A number without a unit and a negative
// duration are errors.
func (d *Duration) UnmarshalText(text []byte) error {
	v, message, remedy := parseDuration(string(text))
	if message != "" {
		return errors.New(message + "; " + remedy)
	}
	d.d = v
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String is the shortest way to write d: "5m", not "5m0s".
func (d Duration) String() string {
	s := d.d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// parseDuration returns the duration, or what is wrong with it and what to write.
func parseDuration(s string) (d time.Duration, message, remedy string) {
	const example = `write a number and its unit, such as "500ms", "3s" or "5m"`
	t := strings.TrimSpace(s)
	if _, err := strconv.ParseFloat(t, 64); err == nil {
		return 0, quote(s) + " has no unit", withUnit(t)
	}
	d, err := time.ParseDuration(t)
	switch {
	case t == "":
		return 0, "is empty", example
	case err != nil:
		return 0, quote(s) + " is not a duration", example
	case d < 0:
		return 0, quote(s) + " is negative", "write it without the minus sign"
	}
	return d, "", ""
}

// withUnit is the remedy for a bare number.
func withUnit(number string) string {
	if n, err := strconv.ParseInt(number, 10, 32); err == nil && n > 0 {
		return `write "` + number + `s" for seconds`
	}
	return `write a number and its unit, such as "500ms", "3s" or "5m"`
}
