package stream

import (
	"slices"
	"strings"
	"testing"
)

// TestPicks: patterns are pg_dump's, of tables or of tables of the database.
func TestPicks(t *testing.T) {
	names := []string{"orders", "ORDERS", "order_line", "T?b", "Tab", "a.b", "line\nend", "log$1", "x"}
	for _, c := range []struct {
		sel   Selection
		takes string
	}{
		{Selection{}, "orders ORDERS order_line T?b Tab a.b line\nend log$1 x"},
		{Selection{Tables: []string{"ORD*"}}, "orders order_line"},
		{Selection{Tables: []string{`"ORDERS"`, `"T?b"`, `"a.b"`}}, "ORDERS T?b a.b"},
		{Selection{Tables: []string{"line*", "log$?", "?"}}, "line\nend log$1 x"},
		{Selection{Tables: []string{"app.orders", "other.x", "a*.x"}}, "orders x"},
		{Selection{Tables: []string{"order*"}, ExcludeTables: []string{"*.*line", "nothing"}}, "orders"},
		{Selection{ExcludeTables: []string{`"Tab"`, "app.*[a-z]rs", "other.*"}, ExcludeTableData: []string{"x"}}, "ORDERS order_line T?b a.b line\nend log$1 x"},
		{Selection{Tables: []string{"app"}}, ""},
	} {
		p, err := c.sel.Picks("app")
		if err != nil {
			t.Fatalf("%s: %v", c.sel.Text(), err)
		}
		var got []string
		for _, n := range names {
			if p.Takes(n) {
				got = append(got, n)
			}
		}
		if s := strings.Join(got, " "); s != c.takes {
			t.Errorf("%s takes %q instead of %q", c.sel.Text(), s, c.takes)
		}
	}
	p, err := (&Selection{Tables: []string{"gone", "x", "other.orders"}, ExcludeTableData: []string{"x"}}).Picks("app")
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Unmatched(names); !slices.Equal(got, []string{"gone", "other.orders"}) {
		t.Errorf("unmatched: %q", got)
	}
	if p.TakesRows("x") || !p.TakesRows("orders") {
		t.Error("rows are left out of another table than was named")
	}
	for _, bad := range []string{"a.b.c", `"open`, "[", "*("} {
		for _, s := range []Selection{{Tables: []string{bad}}, {ExcludeTables: []string{bad}}, {ExcludeTableData: []string{bad}}} {
			if _, err := s.Picks("app"); KindOf(err) != Usage {
				t.Errorf("%s: %v", s.Text(), err)
			}
		}
	}
}
