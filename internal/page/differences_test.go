package page

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestDiffering: the rows that differ are told with key and columns, with values only where the report has them, as text
// whatever they are, and no more of them than a page can hold.
func TestDiffering(t *testing.T) {
	r := made(3, func(i int) string { return fmt.Sprint("t", i) })
	r.ExitCode, r.Result.Mismatches = 30, []string{"a table"}
	var found []verdictOn
	err := json.Unmarshal([]byte(`[{"name": "public.item", "differences": {"missing": 1, "extra": 1, "different": 2, "in_motion": 7, "note": "read anew", "rows": [
		{"kind": "different", "key": [{"column": "id", "value": "100"}], "columns": [{"name": "t", "source": "<b>old</b>", "target": "new"}, {"name": "n", "source": "1"}]},
		{"kind": "different", "key": [{"column": "id", "value": "103"}], "columns": [{"name": "b"}, {"name": "tags"}], "chunk": "12.dat.zst", "unstable": true},
		{"kind": "missing", "key": [{"column": "id", "value": null}], "columns": [{"name": "t", "source": "gone"}]},
		{"kind": "extra", "hash": "905bbc6578a0e074", "copies": 2, "columns": [{"name": "t", "target": "more"}]}]}},
		{"name": "public.fine"}, {"name": "public.unknown", "differences": {"note": "no rows could be told"}}]`), &found)
	if err != nil {
		t.Fatal(err)
	}
	many := &differences{Different: 700}
	for i := range 600 {
		many.Rows = append(many.Rows, difference{Kind: "different", Hash: fmt.Sprint("h", i), Copies: 1})
	}
	r.Result.Tables = append(found, verdictOn{Name: "public.many", Differences: many})
	html := rendered(t, r)
	for _, want := range []string{"public.item", "1 missing on the target, 1 on the target alone, 2 different, 7 in motion, and equal by now (read anew)", "id = 100", "t: &lt;b&gt;old&lt;/b&gt; → new, n: 1 → NULL",
		"b, tags, another each time, chunk 12.dat.zst", "id = NULL", "t = gone", "row 905bbc6578a0e074", "t = more, 2 copies", "public.unknown", "no rows could be told", "row h495", "and 204 more"} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, bad := range []string{"row h496", "<b>old", "public.fine"} {
		if strings.Contains(html, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
}
