// Package awsfault gives the errors of AWS's clients their kinds. What a code
// means in every service stands here, once; what it means in one stands with that
// service's adapter, and wins.
package awsfault

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"

	"nightshift/internal/fault"
)

// Codes are the kinds of a service's own error codes.
type Codes map[string]fault.Kind

// common are the codes that mean the same in every service (IAM user guide,
// common errors). Throttling is not here: the SDK keeps that list.
var common = Codes{
	"ValidationException": fault.Invalid,

	"AccessDenied":                        fault.Denied,
	"AccessDeniedException":               fault.Denied,
	"UnauthorizedException":               fault.Denied,
	"UnauthorizedOperation":               fault.Denied,
	"ExpiredToken":                        fault.Denied,
	"ExpiredTokenException":               fault.Denied,
	"IncompleteSignature":                 fault.Denied,
	"IncompleteSignatureException":        fault.Denied,
	"InvalidAccessKeyId":                  fault.Denied,
	"InvalidClientTokenId":                fault.Denied,
	"InvalidSignatureException":           fault.Denied,
	"MissingAuthenticationToken":          fault.Denied,
	"MissingAuthenticationTokenException": fault.Denied,
	"SignatureDoesNotMatch":               fault.Denied,
	"UnrecognizedClientException":         fault.Denied,
}

// Classify wraps a client's error with what was attempted and its kind; nil stays
// nil.
func Classify(op string, err error, own Codes) error {
	if err == nil {
		return nil
	}
	return fault.New(op, Of(err, own), err)
}

// Of is the kind of a client's error: Invalid where the SDK itself refused the
// input, and Unknown for the network, timeouts, 5xx and codes nobody told us of.
func Of(err error, own Codes) fault.Kind {
	var params smithy.InvalidParamsError
	var serialize *smithy.SerializationError
	if errors.As(err, &params) || errors.As(err, &serialize) {
		return fault.Invalid
	}
	return Kind(Code(err), own)
}

// Kind is the kind of a code.
func Kind(code string, own Codes) fault.Kind {
	if kind, known := own[code]; known {
		return kind
	}
	if _, slow := retry.DefaultThrottleErrorCodes[code]; slow {
		return fault.Throttled
	}
	return common[code]
}

// Code is the service's code of an error; "" where it has none.
func Code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// Message is the service's own text of an error; "" where it has none.
func Message(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorMessage()
	}
	return ""
}
