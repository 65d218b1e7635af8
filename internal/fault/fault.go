// Package fault lets tests kill the process at a chosen point: PGMOVE_FAULT=point:n kills it, as kill -9
// does, when it passes the point for the n-th time. It is for tests alone; without the variable a point
// costs one atomic load.
//
// It imports the standard library, and does nothing else.
package fault

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

var (
	left  atomic.Int64 // passings until the end; 0 for none
	point string
)

func init() {
	v := os.Getenv("PGMOVE_FAULT")
	i := strings.LastIndexByte(v, ':')
	if i < 0 {
		return
	}
	name := v[:i]
	count, err := strconv.ParseInt(v[i+1:], 10, 64)
	if err != nil || count < 1 {
		return
	}
	point = name
	left.Store(count)
}

// Active reports whether a point is set.
func Active() bool { return left.Load() != 0 }

// Point kills the process where it is the chosen one's turn.
func Point(name string) {
	if left.Load() == 0 || name != point {
		return
	}
	if left.Add(-1) == 0 {
		if p, err := os.FindProcess(os.Getpid()); err == nil {
			_ = p.Kill()
		}
		select {} // the signal is on its way
	}
}
