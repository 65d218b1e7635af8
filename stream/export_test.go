package stream

import "time"

// Hasten makes dumps in tests tell of themselves every few milliseconds.
func Hasten() { beatEvery, beatGap = 40*time.Millisecond, 5*time.Millisecond }

// ErrNoMore is errNoMore.
var ErrNoMore = errNoMore
