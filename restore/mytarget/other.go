package mytarget

import (
	"context"
	"strings"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// CheckOther refuses a target that is the source itself. A copy of the server's files may have the same identifier, but runs
// elsewhere.
func (t *Target) CheckOther(ctx context.Context, src *stream.Source) error {
	place, err := t.control.Place(ctx)
	if err != nil {
		return mysession.Explain(err, t.conn.Name())
	}
	row, err := t.control.Row(ctx, "SELECT @@GLOBAL.lower_case_table_names")
	if err != nil {
		return mysession.Explain(err, t.conn.Name())
	}
	same := string(src.Database) == t.conn.Database() || row[0] != "0" && strings.EqualFold(string(src.Database), t.conn.Database())
	if place == "" || place != src.Started || !same {
		return nil
	}
	return (&stream.Failure{Kind: stream.Preflight, Object: t.conn.Name(), Msg: "source and target are the same database"}).
		WithHint("name another database as --target")
}
