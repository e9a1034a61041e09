'use strict';
// The context object of a Lambda handler.

/** `answer` has succeed(result) and fail(error) for the callback style. */
function makeContext(init, meta, answer) {
  const deadline = meta.deadlineMs;
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionVersion: init.functionVersion,
    functionName: init.functionName,
    memoryLimitInMB: String(init.memoryMb),
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: meta.clientContext ?? undefined,
    identity: undefined,
    invokedFunctionArn: init.invokedFunctionArn,
    awsRequestId: meta.requestId,
    tenantId: undefined,
    getRemainingTimeInMillis() {
      return Math.max(0, deadline - Date.now());
    },
    succeed: answer.succeed,
    fail: answer.fail,
    done: answer.done,
  };
}

module.exports = { makeContext };
