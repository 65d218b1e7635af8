package mysource

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// schemaItems reduces entries to what two databases are compared by: what each object is, how it is defined, whose it is.
func schemaItems(entries []stream.Entry) []stream.SchemaItem {
	items := []stream.SchemaItem{}
	for i := range entries {
		e := &entries[i]
		if e.Section == stream.Data || e.Section == stream.Sequences {
			continue
		}
		settings, create := mysession.Statements(string(e.Defn))
		h := sha256.Sum256([]byte(settings + "\n" + mysession.WithDefiner(create, "")))
		items = append(items, stream.SchemaItem{Desc: e.Desc, Tag: e.Tag, Owner: e.Owner, Hash: hex.EncodeToString(h[:16]), Defn: e.Defn, Post: e.Section == stream.PostData})
	}
	slices.SortStableFunc(items, func(a, b stream.SchemaItem) int {
		return cmp.Or(cmp.Compare(a.Desc, b.Desc), cmp.Compare(a.Tag, b.Tag))
	})
	return items
}
