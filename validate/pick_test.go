package validate

import (
	"strings"
	"testing"

	"github.com/pgmove/pgmove/stream"
)

// TestPick: patterns are pg_dump's.
func TestPick(t *testing.T) {
	c := &stream.Contents{Sequences: []stream.SequenceValue{{Name: "s"}}}
	for i, n := range [][2]stream.Text{{"public", "orders"}, {"public", "Orders"}, {"public", "order_lines"}, {"side", "orders"}, {"side", "a.b"}, {"public", "größe"}} {
		c.Tables = append(c.Tables, stream.TableContents{ID: stream.DumpID(i + 1), Table: stream.Table{Namespace: n[0], Name: n[1]}})
	}
	c.Tables = append(c.Tables, stream.TableContents{ID: 8, Table: stream.Table{Namespace: "p", Name: "p0", Root: 7, RootName: "p.p"}},
		stream.TableContents{ID: 9, Table: stream.Table{Namespace: "p", Name: "p1", Root: 7, RootName: "p.p"}},
		stream.TableContents{ID: 10, Table: stream.Table{Name: "large objects", LargeObjects: true}})
	for _, p := range []struct {
		schemas, tables []string
		want            string // what is picked, or part of the error's text
	}{
		{nil, []string{"orders"}, "public.orders side.orders"},
		{nil, []string{"ORDERS", `"Orders"`}, "public.orders public.Orders side.orders"},
		{nil, []string{"public.order*"}, "public.orders public.order_lines"},
		{nil, []string{"order?"}, "public.orders side.orders"},
		{nil, []string{"public.(orders|größe)"}, "public.orders public.größe"},
		{nil, []string{`side."a.b"`}, "side.a.b"},
		{nil, []string{"*.*"}, "public.orders public.Orders public.order_lines side.orders side.a.b public.größe p.p0 p.p1"},
		{[]string{"side"}, nil, "side.orders side.a.b"},
		{[]string{"side"}, []string{"public.orders"}, "public.orders side.orders side.a.b"},
		{nil, []string{"p.p1"}, "all partitions of p.p"},
		{nil, []string{"orders", "nothing"}, `"nothing" matches no table`},
		{nil, []string{"a.b.c"}, "too many dots"},
		{[]string{"a.b"}, nil, "too many dots"},
		{nil, []string{`"open`}, "not closed"},
		{nil, []string{"(orders"}, "not a pattern"},
	} {
		got := ""
		picked, err := Pick(c, p.schemas, p.tables)
		if err != nil {
			if stream.KindOf(err) != stream.Usage {
				t.Errorf("%q: %v", p.tables, err)
			}
			got = err.Error()
		} else {
			var names []string
			for i := range picked.Tables {
				names = append(names, tableName(&picked.Tables[i].Table))
			}
			got = strings.Join(names, " ")
			if len(picked.Sequences) > 0 || len(c.Tables) != 9 {
				t.Errorf("%q: the contents are not picked, or changed", p.tables)
			}
		}
		if err == nil && got != p.want || err != nil && !strings.Contains(got, p.want) {
			t.Errorf("%q %q: %s instead of %s", p.schemas, p.tables, got, p.want)
		}
	}
	if all, err := Pick(c, nil, nil); all != c || err != nil {
		t.Errorf("nothing picks everything: %v", err)
	}
}
