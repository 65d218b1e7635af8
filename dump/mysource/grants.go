package mysource

import (
	"context"
	"strings"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// checkGrants refuses an account that may not see, or not read, all that the database holds.
func (s *Source) checkGrants(ctx context.Context) error {
	p, err := s.control.Grants(ctx)
	if err != nil {
		return err
	}
	var missing []string
	for _, need := range []string{"SELECT", "SHOW VIEW", "TRIGGER", "EVENT"} {
		if !p.Has(need) {
			missing = append(missing, need)
		}
	}
	// Any of these lets an account see that a routine is there; its text is a matter of its own.
	if !p.Has("EXECUTE", "ALTER ROUTINE", "CREATE ROUTINE", "SHOW_ROUTINE", "SHOW CREATE ROUTINE", mysession.ReadRoutines) {
		missing = append(missing, "EXECUTE")
	}
	if len(missing) == 0 {
		return nil
	}
	return (&stream.Failure{Kind: stream.Denied, Object: s.conn.Name(),
		Msg: "the account " + stream.Text(s.conn.User()).Display() + " lacks " + strings.Join(missing, ", ") + " on the database, and would not see all that it holds"}).
		WithHint("GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE, LOCK TABLES ON the database to it")
}
