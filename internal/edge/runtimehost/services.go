package runtimehost

import (
	"encoding/json"
	"hash/crc32"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Call is a request that a function made to a service of AWS.
type Call struct {
	// Operation is "<service's prefix>.<operation>" of the JSON protocols, such as
	// "DynamoDB_20120810.PutItem", and "<method> <path>" of the others.
	Operation string
	Body      json.RawMessage
}

// Reply is a service's answer; status 0 is 200.
type Reply struct {
	Status int
	Body   string
}

// Services stands in for all services of AWS at one loopback address. It keeps
// the items that are put into its tables and answers reads by key from them;
// conditions and indexes it does not know: a write succeeds and a query finds
// nothing. What else is called is answered with {} unless it is scripted.
type Services struct {
	server *http.Server
	url    string
	script map[string]Reply

	mu    sync.Mutex
	calls []Call
	items map[string]json.RawMessage // by table and key
}

// ServeAWS starts the services; script says what an operation answers, items
// what is in the table at first. Close them in the end.
func ServeAWS(script map[string]Reply, table string, items []json.RawMessage) (*Services, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Services{url: "http://" + l.Addr().String(), script: script, items: map[string]json.RawMessage{}}
	for _, it := range items {
		s.items[table+keyOf(it)] = it
	}
	s.server = &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: time.Minute}
	go func() { _ = s.server.Serve(l) }() // ends when it is closed
	return s, nil
}

// Env is the environment that leads a function's clients here.
func (s *Services) Env() map[string]string {
	return map[string]string{
		"AWS_ENDPOINT_URL": s.url, "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_EC2_METADATA_DISABLED": "true",
	}
}

// Close ends the services.
func (s *Services) Close() { _ = s.server.Close() }

// Calls are the calls made so far.
func (s *Services) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Items are the items kept, in the order of their keys.
func (s *Services) Items() []json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []json.RawMessage
	for _, key := range slices.Sorted(maps.Keys(s.items)) {
		out = append(out, s.items[key])
	}
	return out
}

func (s *Services) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c := Call{Operation: r.Header.Get("X-Amz-Target"), Body: body}
	if c.Operation == "" {
		c.Operation = r.Method + " " + r.URL.Path
	}
	s.mu.Lock()
	s.calls = append(s.calls, c)
	reply, scripted := s.script[c.Operation]
	if !scripted {
		reply = Reply{Body: s.table(c)}
	}
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	// DynamoDB's client warns of an answer whose checksum is missing.
	w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(reply.Body))), 10))
	if reply.Status != 0 {
		w.WriteHeader(reply.Status)
	}
	_, _ = io.WriteString(w, reply.Body) // a caller that is gone needs none
}

// write is a write of one item, as far as it is kept.
type write struct {
	TableName string
	Item      json.RawMessage
}

// table answers DynamoDB's operations.
func (s *Services) table(c Call) string {
	operation, ok := strings.CutPrefix(c.Operation, "DynamoDB_20120810.")
	if !ok {
		return "{}"
	}
	var in struct {
		write
		Key           json.RawMessage
		TransactItems []struct{ Put *write }
	}
	if err := json.Unmarshal(c.Body, &in); err != nil {
		return "{}"
	}
	switch operation {
	case "GetItem":
		if it := s.items[in.TableName+keyOf(in.Key)]; it != nil {
			return `{"Item":` + string(it) + `}`
		}
	case "PutItem":
		s.items[in.TableName+keyOf(in.Item)] = in.Item
	case "TransactWriteItems":
		for _, t := range in.TransactItems {
			if t.Put != nil {
				s.items[t.Put.TableName+keyOf(t.Put.Item)] = t.Put.Item
			}
		}
	case "Query":
		return `{"Items":[],"Count":0,"ScannedCount":0}`
	}
	return "{}"
}

// keyOf is an item's key as text.
func keyOf(item json.RawMessage) string {
	var k struct{ PK, SK struct{ S string } }
	if json.Unmarshal(item, &k) != nil {
		return ""
	}
	return "\x00" + k.PK.S + "\x00" + k.SK.S
}
