// Package bars draws a run's progress on a terminal, in place.
//
// Frame makes the lines of a Status; Screen puts them on a terminal, and other output above them. The cursor is
// hidden only while a frame is written, and a frame is one write: a process that is killed leaves the
// terminal as it should be.
package bars

import (
	"fmt"
	"strings"
	"time"

	"github.com/pgmove/pgmove/internal/pace"
)

// Style is what a terminal can show.
type Style struct {
	// Colour allows colours, Plain only ASCII.
	Colour, Plain bool
}

// MinWidth and MinHeight are the smallest terminal that bars are drawn on.
const (
	MinWidth  = 40
	MinHeight = 6
)

// label is the width of the column of names.
const label = 10

// column is one of a bar's figures; what is dropped first, where there is no room, has the highest rank.
type column struct {
	text        string
	width, rank int
}

// Frame returns the lines for a terminal of width columns and height lines, with as many workers at the most as two sides have
// with jobs.
func Frame(s pace.Status, width, height, jobs int, st Style) []string {
	width-- // the last column may wrap
	lines := []string{fit(head(s, st), width, st)}
	for _, b := range s.Bars {
		lines = append(lines, bar(b, width, st))
	}
	room := min(height-1-len(lines), 2*max(jobs, 1))
	for i, w := range s.Working {
		if i == room-1 && len(s.Working) > room {
			lines = append(lines, fit(fmt.Sprintf("  and %d more at work", len(s.Working)-i), width, st))
			break
		}
		if i >= room {
			break
		}
		lines = append(lines, work(w, width, st))
	}
	return lines[:min(len(lines), max(height-1, 1))]
}

// head is the first line: how long, and what each side is at.
func head(s pace.Status, st Style) string {
	parts := []string{s.Command + " " + Clock(s.Seconds)}
	for _, p := range s.Phases {
		parts = append(parts, p.Side+": "+p.Name)
	}
	if s.Warnings > 0 {
		parts = append(parts, plural(s.Warnings, "warning", "warnings"))
	}
	if s.Retries > 0 {
		parts = append(parts, plural(s.Retries, "retry", "retries"))
	}
	if s.IdleSeconds >= 60 && !building(s) {
		parts = append(parts, "nothing has moved for "+Clock(s.IdleSeconds))
	}
	sep := " · "
	if st.Plain {
		sep = ", "
	}
	return strings.Join(parts, sep)
}

// building reports whether something is at work that shows no progress of its own.
func building(s pace.Status) bool {
	for _, w := range s.Working {
		if w.What == "apply" || w.What == "analyze" {
			return true
		}
	}
	return false
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func bar(b pace.Bar, width int, st Style) string {
	var cols []column
	percent := "  –"
	if b.Total > 0 {
		percent = fmt.Sprintf("%3d%%", int(b.Ratio*100))
	}
	cols = append(cols, column{percent, 4, 0})
	if b.Name == pace.Build {
		cols = append(cols, column{fmt.Sprintf("%d of %d", b.Done, b.Total), 34, 2})
	} else {
		cols = append(cols, column{Count(b.Rows) + " rows", 12, 4}, column{Size(b.Bytes), 9, 2}, column{rate(b), 11, 3})
	}
	eta := "–"
	switch {
	case b.Total > 0 && b.Ratio >= 1:
		eta = "done"
	case b.ETA != nil:
		eta = "ETA " + Clock(*b.ETA)
	}
	cols = append(cols, column{eta, 11, 1})
	room := func() int {
		n := width - label - 2
		for _, c := range cols {
			n -= c.width + 1
		}
		return n
	}
	for rank := 4; room() < 10 && rank > 0; rank-- {
		for i := range cols {
			if cols[i].rank == rank {
				cols = append(cols[:i], cols[i+1:]...)
				break
			}
		}
	}
	n := min(max(room(), 4), 40)
	line := pad(b.Name, label, false) + " " + gauge(b.Ratio, n, st)
	for _, c := range cols {
		line += " " + pad(c.text, c.width, true)
	}
	if st.Plain {
		line = strings.ReplaceAll(line, "–", "-")
	}
	return line
}

// rate is how fast it goes; nothing once it is done.
func rate(b pace.Bar) string {
	if b.Total > 0 && b.Ratio >= 1 {
		return ""
	}
	return Size(int64(b.Rate)) + "/s"
}

// gauge is the bar itself.
func gauge(ratio float64, n int, st Style) string {
	full := min(max(int(ratio*float64(n)), 0), n)
	if st.Plain {
		inner := max(n-2, 0)
		full = min(max(int(ratio*float64(inner)), 0), inner)
		return "[" + strings.Repeat("#", full) + strings.Repeat("-", inner-full) + "]"
	}
	a, b := strings.Repeat("█", full), strings.Repeat("░", n-full)
	if !st.Colour {
		return a + b
	}
	colour := "36"
	if ratio >= 1 {
		colour = "32"
	}
	return "\x1b[" + colour + "m" + a + "\x1b[2m" + b + "\x1b[0m"
}

// work is the line of something under way. A long name loses its middle.
func work(w pace.Working, width int, st Style) string {
	tail := " " + pad(Clock(w.Seconds), 8, true)
	switch {
	case w.Bytes > 0:
		tail = " " + pad(Size(w.Bytes), 9, true) + tail
	case width >= 70:
		tail = strings.Repeat(" ", 10) + tail
	}
	switch {
	case w.Parts > 1:
		tail = fmt.Sprintf(" %d/%d", w.Part, w.Parts) + tail
	case w.Count > 1:
		tail = fmt.Sprintf(" +%d", w.Count-1) + tail
	}
	start := "  " + pad(w.What, 7, false) + " "
	room := width - len(start) - cells(tail)
	if room < 8 {
		tail, room = "", width-len(start)
	}
	return start + pad(short(w.Object, room, st), room, false) + tail
}

// Clock writes seconds as 7s, 1m05s, 2h03m or 3d04h.
func Clock(s float64) string {
	d := time.Duration(s * float64(time.Second)).Round(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// Size writes bytes in binary units, in at most nine columns.
func Size(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", max(n, 0))
	}
	f, i := float64(n)/1024, 0
	for ; f >= 1023.95 && i < 5; i++ {
		f /= 1024
	}
	return fmt.Sprintf("%.1f %ciB", f, "KMGTPE"[i])
}

// Count writes a number in at most seven columns.
func Count(n int64) string {
	if n < 100_000 {
		return fmt.Sprint(n)
	}
	f, i := float64(n)/1000, 0
	for ; f >= 999.95 && i < 4; i++ {
		f /= 1000
	}
	return fmt.Sprintf("%.1f %c", f, "kMGTP"[i])
}
