package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// figures are tables with text between them, for a terminal or for Markdown.
type figures struct{ parts []part }

// part is a heading, a paragraph or a table, whose first row names its columns.
type part struct {
	heading string
	text    string
	rows    [][]string
}

func (f *figures) head(format string, args ...any) {
	f.parts = append(f.parts, part{heading: fmt.Sprintf(format, args...)})
}
func (f *figures) para(format string, args ...any) {
	f.parts = append(f.parts, part{text: fmt.Sprintf(format, args...)})
}
func (f *figures) table(rows [][]string) { f.parts = append(f.parts, part{rows: rows}) }

// plain writes for a terminal: words flush left, numbers right.
func (f *figures) plain() string {
	var b strings.Builder
	for _, p := range f.parts {
		switch {
		case p.heading != "":
			fmt.Fprintf(&b, "\n== %s\n", p.heading)
		case p.text != "":
			fmt.Fprintln(&b, p.text)
		}
		widths := make([]int, 20)
		for _, r := range p.rows {
			for i, c := range r {
				widths[i] = max(widths[i], len([]rune(c)))
			}
		}
		for _, r := range p.rows {
			for i, c := range r {
				if i == 0 || len(r) == 2 {
					fmt.Fprintf(&b, "%-*s  ", widths[i], c)
				} else {
					fmt.Fprintf(&b, "%*s  ", widths[i], c)
				}
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// markdown writes for a document.
func (f *figures) markdown() string {
	var b strings.Builder
	cell := strings.NewReplacer("|", `\|`)
	for _, p := range f.parts {
		switch {
		case p.heading != "":
			fmt.Fprintf(&b, "\n### %s\n\n", p.heading)
		case p.text != "":
			fmt.Fprintf(&b, "%s\n\n", p.text)
		}
		for i, r := range p.rows {
			b.WriteByte('|')
			for _, c := range r {
				fmt.Fprintf(&b, " %s |", cell.Replace(c))
			}
			b.WriteByte('\n')
			if i == 0 {
				align := " ---: |"
				if len(r) == 2 {
					align = " --- |"
				}
				b.WriteString("| --- |" + strings.Repeat(align, len(r)-1) + "\n")
			}
		}
	}
	return b.String()
}

// The marks between which a document holds the figures; the rest is written by people.
const (
	beginMark = "<!-- figures: written by make bench -->"
	endMark   = "<!-- end of figures -->"
)

// writeFigures puts text between the marks of a file, and makes the file where there is none.
func writeFigures(path, text string) error {
	b, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	body := beginMark + "\n\n## Figures\n" + text + "\n" + endMark
	old := string(b)
	before, rest, found := strings.Cut(old, beginMark)
	if !found {
		return os.WriteFile(path, []byte(strings.TrimRight(old, "\n")+"\n\n"+body+"\n"), 0o644)
	}
	_, after, found := strings.Cut(rest, endMark)
	if !found {
		return fmt.Errorf("%s: %q has no %q after it", path, beginMark, endMark)
	}
	return os.WriteFile(path, []byte(before+body+after), 0o644)
}

// median is the middle one of the runs by some measure, the mean of the two where they are even.
func median[T cmp.Ordered](runs []usage, of func(usage) T, mean func(a, b T) T) T {
	v := make([]T, len(runs))
	for i, u := range runs {
		v[i] = of(u)
	}
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return mean(v[n/2-1], v[n/2])
	}
	return v[len(v)/2]
}

func meanTime(a, b time.Duration) time.Duration { return (a + b) / 2 }
func meanSize(a, b int64) int64                 { return (a + b) / 2 }

// wall, cpu and rss are medians; runs must not be empty.
func wall(runs []usage) time.Duration {
	return median(runs, func(u usage) time.Duration { return u.wall }, meanTime)
}
func cpu(runs []usage) time.Duration {
	return median(runs, func(u usage) time.Duration { return u.cpu }, meanTime)
}
func rss(runs []usage) int64 {
	return median(runs, func(u usage) int64 { return u.rss }, meanSize)
}

// spread is the shortest and the longest time.
func spread(runs []usage) (lo, hi time.Duration) {
	lo, hi = runs[0].wall, runs[0].wall
	for _, u := range runs {
		lo, hi = min(lo, u.wall), max(hi, u.wall)
	}
	return lo, hi
}
