package bars

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// cell is how many columns a character takes.
func cell(r rune) int {
	if r < 0x300 {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// cells is how many columns a text without escape sequences takes.
func cells(s string) int {
	n := 0
	for _, r := range s {
		n += cell(r)
	}
	return n
}

// pad fills a text up to n columns.
func pad(s string, n int, right bool) string {
	fill := strings.Repeat(" ", max(n-cells(s), 0))
	if right {
		return fill + s
	}
	return s + fill
}

// fit cuts a text off at n columns.
func fit(s string, n int, st Style) string {
	s = clean(s)
	if cells(s) <= n {
		return s
	}
	dots := ellipsis(st)
	return take(s, n-cells(dots)) + dots
}

// short cuts the middle out of a text that is longer than n columns: names differ at both ends.
func short(s string, n int, st Style) string {
	s = clean(s)
	if cells(s) <= n {
		return s
	}
	dots := ellipsis(st)
	head := take(s, (n-cells(dots))/2)
	left := n - cells(dots) - cells(head)
	runes := []rune(s)
	from := len(runes)
	for from > 0 && left >= cell(runes[from-1]) {
		from--
		left -= cell(runes[from])
	}
	return head + dots + string(runes[from:])
}

// take returns the first n columns.
func take(s string, n int) string {
	for i, r := range s {
		if n -= cell(r); n < 0 {
			return s[:i]
		}
	}
	return s
}

func ellipsis(st Style) string {
	if st.Plain {
		return ".."
	}
	return "…"
}

// clean replaces what a terminal would act on, and characters that turn the writing round.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control) {
			return '?'
		}
		return r
	}, s)
}
