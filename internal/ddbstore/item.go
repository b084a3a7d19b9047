package ddbstore

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"nightshift/internal/app"
	"nightshift/internal/ddbstore/schema"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Attributes besides the keys. Expressions name them as #name, because some are
// DynamoDB's reserved words.
const (
	attrSchema  = "schema"
	attrVersion = "version"
	attrDoc     = "doc"
	attrFrozen  = "frozen" // hash of what never changes after the opening
	attrHash    = "hash"
	attrDone    = "done"
	attrSession = "sessionId"
	attrWake    = "wake"
	attrBody    = "body"
	attrCount   = "count"
	attrKind    = "kind"
	attrAt      = "at"
)

// Sort keys, and how partition keys begin.
const (
	skState    = "STATE"
	skHistory  = "H#"
	skFacts    = "FACTS"
	skClaim    = "CLAIM"
	skEndpoint = "ENDPOINT"
	skPolicy   = "POLICY"
	skParked   = "PARKED"
	skSample   = "SAMPLE"
	skMark     = "MARK"
	skAnchor   = "A#"

	pkSession  = "S#"
	pkUser     = "U#"
	pkRun      = "R#"
	pkEndpoint = "E#"
	pkPolicy   = "POLICY"
	pkParked   = "PARKED#"
	pkSample   = "SAMPLE#"
	pkMark     = "MARK#"
	pkAnchor   = "ANCHOR"
)

// partMax bounds an id inside a key, in bytes: DynamoDB's partition keys hold
// 2,048, and two ids stand in the longest. A longer id is there as its hash.
const partMax = 900

// part is an id as part of a key: no two ids have the same, and "#" only ever
// separates.
func part(id string) string {
	escaped := strings.NewReplacer("%", "%25", "#", "%23").Replace(id)
	if len(escaped) > partMax || strings.HasPrefix(escaped, "~") {
		return "~" + digest(id) // "~" begins no other: an id that begins with it is hashed too
	}
	return escaped
}

func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}

// item is a DynamoDB item.
type item = map[string]types.AttributeValue

// address is where an item is.
type address struct{ pk, sk string }

func stateOf(id string) address          { return address{pkSession + part(id), skState} }
func entryOf(id string, n int64) address { return address{pkSession + part(id), historyKey(n)} }
func factsOf(user string) address        { return address{pkUser + part(user), skFacts} }
func endpointOf(id string) address       { return address{pkEndpoint + part(id), skEndpoint} }
func parkedOf(id string) address         { return address{pkParked + part(id), skParked} }
func sampleOf(kind string) address       { return address{pkSample + part(kind), skSample} }
func markOf(name string) address         { return address{pkMark + part(name), skMark} }
func claimOf(run workload.Ref) address {
	return address{pkRun + part(run.Endpoint) + "#" + part(run.ID), skClaim}
}
func anchorOf(seq int64) address             { return address{pkAnchor, anchorKey(seq)} }
func anchorKey(seq int64) string             { return fmt.Sprintf("%s%020d", skAnchor, seq) }
func policyAddress() address                 { return address{pkPolicy, skPolicy} }
func historyKey(version int64) string        { return fmt.Sprintf("%s%020d", skHistory, version) }
func (a address) key() item                  { return item{schema.PartitionKey: text(a.pk), schema.SortKey: text(a.sk)} }
func (a address) shard() string              { return strconv.Itoa(int(a.number() % schema.Shards)) }
func (a address) sorted(at time.Time) string { return stamp(at) + "#" + digest(a.pk, a.sk)[:32] }

// number spreads partitions over the shards; entries of one session share one.
func (a address) number() uint64 {
	n, err := strconv.ParseUint(digest(a.pk)[:8], 16, 64)
	if err != nil {
		panic(err) // eight hex digits: cannot happen
	}
	return n
}

// stamp is a moment whose text sorts as the moments do, for years 0 to 9999;
// what lies outside cannot be written as JSON either.
func stamp(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000000000Z") }

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// place puts an item into an index.
func place(it item, index schema.Index, partition, sort string) {
	it[index.PartitionKey.Name], it[index.SortKey.Name] = text(partition), text(sort)
}

// fresh is an item with its keys and its document. A document that cannot be
// written is Invalid.
func fresh(op string, a address, doc any) (item, error) {
	body, err := encode(doc)
	if err != nil {
		return nil, fault.New(op, fault.Invalid, err)
	}
	it := a.key()
	it[attrSchema], it[attrDoc] = number(schema.Version), text(body)
	return it, nil
}

// itemMax is DynamoDB's limit, in bytes of attribute names and values.
const itemMax = 400 << 10

// fits refuses an item that DynamoDB would refuse, before the call. With three
// items at most a transaction stays below its 4 MB.
func fits(op, what string, it item) error {
	size := 0
	for name, v := range it {
		size += len(name)
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			size += len(v.Value)
		case *types.AttributeValueMemberB:
			size += len(v.Value)
		default:
			size += 22 // the most a number takes
		}
	}
	if size > itemMax {
		return fault.Newf(op, fault.Invalid, "%s has %d bytes; an item holds %d", what, size, itemMax)
	}
	return nil
}

func getText(it item, name string) string {
	if s, ok := it[name].(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

func getBytes(it item, name string) []byte {
	if b, ok := it[name].(*types.AttributeValueMemberB); ok {
		return b.Value
	}
	return nil
}

// getNumber is 0 where the attribute is missing or no whole number.
func getNumber(it item, name string) int64 {
	if n, ok := it[name].(*types.AttributeValueMemberN); ok {
		i, err := strconv.ParseInt(n.Value, 10, 64)
		if err == nil {
			return i
		}
	}
	return 0
}

func getDone(it item) bool {
	b, ok := it[attrDone].(*types.AttributeValueMemberBOOL)
	return ok && b.Value
}

// decode reads an item's document. Fields that it does not know are passed
// over. What it cannot read is Unknown, not Invalid: the event at hand is not
// to blame, and a deployment or a repair will mend it.
func decode(op string, it item, doc any) error {
	where := getText(it, schema.PartitionKey) + " " + getText(it, schema.SortKey)
	if n := getNumber(it, attrSchema); n < 1 || n > schema.Version {
		return fault.Newf(op, fault.Unknown, "item %s has schema %d; this version reads 1 to %d", where, n, schema.Version)
	}
	if err := json.Unmarshal([]byte(getText(it, attrDoc)), doc); err != nil {
		return fault.Newf(op, fault.Unknown, "item %s cannot be read: %w", where, err)
	}
	return nil
}

// stateItem is a session's state with its places in the indexes.
func stateItem(op string, s session.Session) (item, error) {
	a := stateOf(s.ID)
	it, err := fresh(op, a, sessionToDoc(s))
	if err != nil {
		return nil, err
	}
	frozen, err := encode(frozenOf(s))
	if err != nil {
		return nil, fault.New(op, fault.Invalid, err)
	}
	it[attrVersion], it[attrFrozen] = number(s.Version), text(digest(frozen))
	place(it, schema.GSI4, "LIST#"+a.shard(), a.sorted(s.OpenedAt))
	if s.Status != session.Ended {
		place(it, schema.GSI1, pkUser+part(s.User), a.sorted(s.OpenedAt))
		place(it, schema.GSI2, pkEndpoint+part(s.Run.Endpoint), a.sorted(s.OpenedAt))
	}
	if wake := s.WakeAt(); !wake.IsZero() {
		place(it, schema.GSI3, "DUE#"+a.shard(), a.sorted(wake))
	}
	return it, fits(op, "session "+s.ID, it)
}

func decodeState(op string, it item) (session.Session, error) {
	var d sessionDoc
	err := decode(op, it, &d)
	return d.session(), err
}

// entryItem is a history entry, listed while something of it is to be done; one
// without effects has nothing to do.
func entryItem(op string, e app.Entry) (item, error) {
	a := entryOf(e.SessionID, e.Version)
	it, err := fresh(op, a, entryToDoc(e))
	if err != nil {
		return nil, err
	}
	it[attrVersion], it[attrHash] = number(e.Version), text(e.Hash)
	switch {
	case e.Done:
		it[attrDone] = &types.AttributeValueMemberBOOL{Value: true}
	case len(e.Effects) > 0:
		place(it, schema.GSI1, "UNFINISHED#"+a.shard(), a.sorted(e.At))
	}
	if e.Changes() {
		place(it, schema.GSI4, "CHANGE#"+a.shard(), a.sorted(e.At))
	}
	if err := keepsHash(op, it, e); err != nil {
		return nil, err
	}
	return it, fits(op, fmt.Sprintf("entry %d of session %s", e.Version, e.SessionID), it)
}

// keepsHash refuses an entry whose hash would not be the same when read back.
// JSON writes bytes that are not UTF-8 as \ufffd and that, read back, as the
// character itself, so the two hash differently. Only such an entry is read
// back here.
func keepsHash(op string, it item, e app.Entry) error {
	if !strings.Contains(getText(it, attrDoc), `\ufffd`) {
		return nil
	}
	back, err := decodeEntry(op, it)
	if err != nil {
		return err
	}
	before, err1 := e.Seal()
	after, err2 := back.Seal()
	if err1 != nil || err2 != nil || before != after {
		return fault.Newf(op, fault.Invalid, "entry %d of session %q holds text that is not UTF-8: its proof could not be recomputed", e.Version, e.SessionID)
	}
	return nil
}

func decodeEntry(op string, it item) (app.Entry, error) {
	var d entryDoc
	err := decode(op, it, &d)
	return d.entry(getDone(it)), err
}

// claimItem says which session owns a run; the names are for people.
func claimItem(op string, run workload.Ref, owner string) (item, error) {
	it, err := fresh(op, claimOf(run), refDoc(run))
	if err != nil {
		return nil, err
	}
	it[attrSession] = text(owner)
	return it, fits(op, "claim of run "+run.ID, it)
}

// checkID refuses what a key cannot hold.
func checkID(op, field, id string) error {
	switch {
	case id == "":
		return fault.Newf(op, fault.Invalid, "%s is empty", field)
	case !utf8.ValidString(id):
		return fault.Newf(op, fault.Invalid, "%s is not UTF-8: %q", field, id)
	}
	return nil
}

func checkRef(op string, run workload.Ref) error {
	if err := checkID(op, "endpoint", run.Endpoint); err != nil {
		return err
	}
	return checkID(op, "run id", run.ID)
}

// checkWrite refuses a state and an entry that do not belong together.
func checkWrite(op string, s session.Session, e app.Entry) error {
	for _, c := range []struct{ field, id string }{
		{"session id", s.ID}, {"user", s.User}, {"endpoint", s.Run.Endpoint}, {"entry hash", e.Hash},
	} {
		if err := checkID(op, c.field, c.id); err != nil {
			return err
		}
	}
	switch {
	case !utf8.ValidString(s.Run.ID):
		return checkID(op, "run id", s.Run.ID)
	case e.SessionID != s.ID:
		return fault.Newf(op, fault.Invalid, "the entry is of session %q, the state of %q", e.SessionID, s.ID)
	case e.Version != s.Version:
		return fault.Newf(op, fault.Invalid, "the entry is of version %d, the state of %d", e.Version, s.Version)
	}
	return nil
}
