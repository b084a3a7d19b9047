package ddbstore

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"nightshift/internal/ddbstore/schema"
	"nightshift/internal/fault"
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
	attrUndone  = "undone"  // versions of a session whose effects are not known to be done
	attrSettled = "settled" // the version whose effects the newest write found done; not there after a commit
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
	skToken    = "T#" // sorts after STATE: no part of a history
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

func tokenOf(id, ref string) address     { return address{pkSession + part(id), skToken + ref} }
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
func (a address) sorted(at time.Time) string { return stamp(at) + "#" + digest(a.pk, a.sk)[:12] }

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
	it[attrSchema], it[attrDoc] = number(schema.Plain), text(body)
	return it, nil
}

// packed is fresh for what is written often or is large.
func packed(op string, a address, doc any) (item, error) {
	it, err := fresh(op, a, doc)
	if err != nil {
		return nil, err
	}
	it[attrSchema] = number(schema.Version)
	if it[attrDoc], err = pack(getText(it, attrDoc)); err != nil {
		return nil, fault.New(op, fault.Unknown, err)
	}
	return it, nil
}

// itemMax is DynamoDB's limit, in bytes of attribute names and values.
const itemMax = 400 << 10

// sizeOf is an item's size as DynamoDB bills it, in bytes.
func sizeOf(it item) int {
	size := 0
	for name, v := range it {
		size += len(name)
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			size += len(v.Value)
		case *types.AttributeValueMemberB:
			size += len(v.Value)
		case *types.AttributeValueMemberN:
			size += len(v.Value)/2 + 2 // a byte for two digits, and about one more
		default:
			size++
		}
	}
	return size
}

// units are the write units of an item outside a transaction.
func units(it item) int { return (sizeOf(it) + 1023) / 1024 }

// fits refuses an item that DynamoDB would refuse, before the call. With three
// items at most a transaction stays below its 4 MB.
func fits(op, what string, it item) error {
	if size := sizeOf(it); size > itemMax {
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
	if err := ours(op, it); err != nil {
		return err
	}
	if getNumber(it, attrSchema) < 1 {
		return fault.Newf(op, fault.Unknown, "item %s has no schema", nameOf(it))
	}
	body, err := unpack(it[attrDoc])
	if err == nil {
		err = json.Unmarshal([]byte(body), doc)
	}
	if err != nil {
		return fault.Newf(op, fault.Unknown, "item %s cannot be read: %w", nameOf(it), err)
	}
	return nil
}

// ours refuses an item that a newer version wrote in a way that this one would
// misread (internal/decisions/0023).
func ours(op string, it item) error {
	if n := getNumber(it, attrSchema); n > schema.Version {
		return fault.Newf(op, fault.Unknown, "item %s has schema %d; this version reads 1 to %d", nameOf(it), n, schema.Version)
	}
	return nil
}

// nameOf says for people which item it is.
func nameOf(it item) string {
	return getText(it, schema.PartitionKey) + " " + getText(it, schema.SortKey)
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
