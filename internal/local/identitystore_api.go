package local

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// IdentityStore is the id of the local system's identity store.
const IdentityStore = "d-1234567890"

// userPrefix begins the ids of the local system's users: short ones, for people to
// type. AWS's are UUIDs.
const userPrefix = "u-"

// isUserID says whether a word is an id of a local user, and no user name.
func isUserID(word string) bool { return strings.HasPrefix(word, userPrefix) }

// SetName says that a user has a user name; "" for id takes the name away.
func (d *directory) SetName(name, id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[name] = id; id == "" {
		delete(d.names, name)
	}
}

// SetSilent says whether the identity store refuses to answer: it is throttled.
func (d *directory) SetSilent(silent bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.silent = silent
}

// ServeHTTP serves GetUserId of the identity store, as the AWS SDK and CLI ask for
// it: by the user's whole name, letter by letter. Who has no name that was set is
// not found.
func (d *directory) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct {
		IdentityStoreID     string `json:"IdentityStoreId"`
		AlternateIdentifier struct {
			UniqueAttribute struct {
				AttributePath  string
				AttributeValue any
			}
		}
	}
	answer := func(status int, out map[string]string) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(out) // the caller has gone; there is nobody to tell
	}
	refuse := func(code, message string, more ...string) {
		out := map[string]string{"__type": "com.amazonaws.identitystore#" + code, "Message": message, "RequestId": newID()}
		for i := 0; i+1 < len(more); i += 2 {
			out[more[i]] = more[i+1]
		}
		answer(http.StatusBadRequest, out)
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, requestMax))
	d.mu.Lock()
	defer d.mu.Unlock()
	name, text := "", false
	if err == nil {
		err = json.Unmarshal(body, &in)
		name, text = in.AlternateIdentifier.UniqueAttribute.AttributeValue.(string)
	}
	id, known := d.names[name]
	switch path := in.AlternateIdentifier.UniqueAttribute.AttributePath; {
	case operation != "GetUserId":
		refuse("UnknownOperationException", "the local identity store serves GetUserId")
	case d.silent:
		refuse("ThrottlingException", "Rate exceeded", "Reason", "KMS_THROTTLING")
	case err != nil || !text || path != "userName" && path != "UserName":
		refuse("ValidationException", "AlternateIdentifier must be the unique attribute userName")
	case in.IdentityStoreID != IdentityStore:
		refuse("ResourceNotFoundException", "IDENTITY_STORE not found.", "ResourceType", "IDENTITY_STORE", "ResourceId", in.IdentityStoreID)
	case !known:
		refuse("ResourceNotFoundException", "USER not found.", "ResourceType", "USER", "Reason", "USER_NOT_FOUND")
	default:
		answer(http.StatusOK, map[string]string{"IdentityStoreId": IdentityStore, "UserId": id})
	}
}
