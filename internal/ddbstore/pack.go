package ddbstore

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// A document is written as a string, or, where that is smaller, as bytes: one
// that names the packing, then the string packed so. Whoever reads takes both.
// DynamoDB bills by the KB, and documents repeat the names of their fields.

// packedFlate is DEFLATE with words as its dictionary. A packing is for ever; a
// better one gets another number.
const packedFlate = 1

// unpackedMax bounds what is unpacked, in bytes; more is no document of ours.
const unpackedMax = 64 << 20

// words are what documents are likely to say, the likeliest last. What was packed
// with them cannot be read without: they are never changed (a test pins them).
var words = []byte(`{"seq":1,"at":"2026-11-20T18:00:00Z","until":"2026-11-20T18:00:00Z","live":1,"heads":[{"session":"s-","version":3,"hash":"` +
	`policy-drift mode-unknown role-outlives-user lost access-removed kernel-stopped cluster-terminated stopped-elsewhere engine-limit ` +
	`"extended":"userStatusAt":"userEnabledAt":"interactiveGone":true,"tokenAt":"pagedAt":"leftAt":"lateAt":"costToldAt":"recent":["` +
	`"activity":{"at":"2026-"busy":true,"since":"progress":{"billing":{"cluster":"j-"domain":"d-"previous":"s-"maxRuntimeNs":` +
	`"refused":"stuck":"origin":"adopted""origin":"zombie""kind":"session","application":"spark"` +
	`"id":"app/application_1""engine":"livy","endpoint":"livy/j-"engine":"emr-notebook","endpoint":"emr-notebook/` +
	`"engine":"sagemaker-processing","engine":"sagemaker-pipeline","engine":"sagemaker-training","endpoint":"sagemaker/","id":"training-job/ns-s-` +
	`"user-disabled""user-deleted""stop-requested""waiter-aborted""idle""max-runtime""tenant-limit""failed""finished""sign-out""background-revoked"` +
	`"kind":"page","reason":"stop-unconfirmed","text":"The run was asked to stop and is not seen stopped after ` +
	`"kind":"idle-since","statements","kind":"progress-seen","kind":"stop-refused","kind":"start-disproved","kind":"background-token-issued",` +
	`An administrator changes the duration in the IAM Identity Center console: Settings, Authentication, Session duration (https://console.aws.amazon.com/singlesignon)."` +
	`Your run (emr-containers, ) ends because the user signed out (ends because the background session expired (ends because the interactive session expired (2026-11-20 20:00 UTC). ` +
	`Your run (sagemaker-training, training-job/ns-s-) ends in 24 hours, at ends in 1 hour, at 2026-11-20 20:00 UTC: then its background session expires. ` +
	`) ends in 15 minutes, at 2026-11-20 20:00 UTC: then the interactive session that it depends on expires. ` +
	`"effects":[{"kind":"notice","reason":"background-duration","text":"beforeNs":86400000000000},{"kind":"notice","reason":"interactive-session","text":"Your run ("beforeNs":3600000000000}]"beforeNs":900000000000}],` +
	`"effects":[{"kind":"stop","reason":"background-expired"},{"kind":"stop","reason":"interactive-expired"},{"kind":"notify","reason":"interactive-expired","text":"Your run (` +
	`{"kind":"release-waiter","reason":"interactive-expired"},{"kind":"announce","reason":"session-ending"}],{"kind":"announce","reason":"session-ended"}],` +
	`"end":{"cause":"background-expired","evidence":"deadline background-duration","by":"nightshift","happened":"2026-11-20T20:00:01Z","known":"2026-11-20T20:00:01Z","decided":"2026-11-20T20:01:00Z","asked":"2026-11-20T20:01:00Z","askedLast":"2026-11-20T20:01:00Z","confirmed":"2026-11-20T20:01:21Z"}` +
	`"event":{"kind":"run-observed","at":"2026-11-20T20:01:20Z","known":"2026-11-20T20:01:21Z","evidence":"listing","run":{"endpoint":"emr-containers/","id":"state":"STOPPED"},"from":"ENDING","to":"ENDED",` +
	`"event":{"kind":"stop-accepted","at":"known":"},"from":"ENDING","to":"ENDING","event":{"kind":"tick","at":"known":"by":"nightshift","evidence":"sweep"},"from":"ACTIVE","to":"ENDING",` +
	`"event":{"kind":"run-started","at":"known":"run":{"endpoint":"name":"},"from":"ACTIVE","to":"ACTIVE","mode":"background","state":"RUNNING"},` +
	`"event":{"kind":"waiter-registered","at":"known":"token":"},"from":"ACTIVE","to":"ACTIVE","mode":"interactive","deadline":"source":"interactive-session","cause":"interactive-expired","previous":"` +
	`"event":{"kind":"session-opened","at":"user":"evidence":"arn:aws:states:us-east-1:123456789012:execution:nightshift-run:"run":{"endpoint":"}},"to":"ACTIVE","mode":"background","deadline":"source":"background-duration",` +
	`"effects":[{"kind":"watch"},{"kind":"announce","reason":"session-opened"}],"effects":[{"kind":"watch"}],"hash":"` +
	`{"id":"s-","version":2,"user":"","run":{"engine":"emr-containers","endpoint":"emr-containers/123456789012/us-east-1","id":"},"status":"ACTIVE","mode":"interactive","status":"ENDING","mode":"background","origin":"started","openedAt":"2026-11-20T18:00:00Z","recordedAt":"2026-11-20T18:00:00Z",` +
	`"policy":{"version":1,"changedAt":"2026-11-20T18:00:00Z","instanceBackground":2,"backgroundDurationNs":604800000000000,"interactiveDurationNs":28800000000000,"livyIdleNs":28800000000000},` +
	`"facts":{"identityPropagation":2,"instance":2,"applicationBackground":1,"clusterBackground":2,"releaseLabel":"emr-7.12.0"},"applicationBackground":2}` +
	`"interactive":{"id":"","source":"portal","expiresAt":"2026-11-20T20:00:01Z"},` +
	`"why":["the service and the application allow background sessions","duration of background sessions"],` +
	`"why":["the run rides the user's interactive session (S1.7)","user background sessions of the application is off","expiry of the interactive session"],` +
	`"own":{"at":"2026-11-20T20:00:01Z","source":"interactive-session"},"deadline":"2026-11-20T20:00:01Z","deadlineSource":"interactive-session","own":{"at":"source":"background-duration"},"deadlineSource":"background-duration",` +
	`"runningSince":"2026-11-20T18:00:00Z","startAskedAt":"2026-11-20T18:00:00Z","waiter":"AAAAKgAAAAIAAAAAAAAAA","noticedNs":86400000000000,"head":"` +
	`","tail":[{"sessionId":"s-","version":2,"at":"2026-11-20T18:00:00Z",`)

// packers hold DEFLATE's state, which is large and can be used again.
var packers = sync.Pool{New: func() any {
	w, err := flate.NewWriterDict(io.Discard, flate.BestCompression, words)
	if err != nil {
		panic(err) // the level is one of its own: cannot happen
	}
	return w
}}

// pack is a document as an attribute, whichever way is smaller.
func pack(doc string) (types.AttributeValue, error) {
	var b bytes.Buffer
	b.WriteByte(packedFlate)
	w, _ := packers.Get().(*flate.Writer)
	defer packers.Put(w)
	w.Reset(&b)
	_, err := io.WriteString(w, doc)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("pack a document: %w", err)
	}
	if b.Len() >= len(doc) {
		return text(doc), nil
	}
	return &types.AttributeValueMemberB{Value: b.Bytes()}, nil
}

// unpack is the document that an attribute holds; "" where it holds none.
func unpack(v types.AttributeValue) (string, error) {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return v.Value, nil
	case *types.AttributeValueMemberB:
		if len(v.Value) == 0 || v.Value[0] != packedFlate {
			return "", fmt.Errorf("its packing is not known: it begins with %.4x", v.Value)
		}
		var doc strings.Builder
		n, err := io.Copy(&doc, io.LimitReader(flate.NewReaderDict(bytes.NewReader(v.Value[1:]), words), unpackedMax+1))
		if err == nil && n > unpackedMax {
			err = fmt.Errorf("it has more than %d bytes", unpackedMax)
		}
		return doc.String(), err
	}
	return "", nil
}
