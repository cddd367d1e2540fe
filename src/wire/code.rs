//! Why a question was refused, as it travels.

use super::proto;
use crate::protocol::rpc::Code;

impl From<Code> for proto::Code {
    fn from(code: Code) -> proto::Code {
        match code {
            Code::Unspecified => proto::Code::Unspecified,
            Code::NotJoined => proto::Code::NotJoined,
            Code::Retry => proto::Code::Retry,
            Code::Busy => proto::Code::Busy,
            Code::Timeout => proto::Code::Timeout,
            Code::IdTaken => proto::Code::IdTaken,
            Code::BadRequest => proto::Code::BadRequest,
            Code::UnknownCall => proto::Code::UnknownCall,
            Code::NoRoute => proto::Code::NoRoute,
            Code::NotHere => proto::Code::NotHere,
        }
    }
}

impl From<proto::Code> for Code {
    fn from(code: proto::Code) -> Code {
        match code {
            proto::Code::Unspecified => Code::Unspecified,
            proto::Code::NotJoined => Code::NotJoined,
            proto::Code::Retry => Code::Retry,
            proto::Code::Busy => Code::Busy,
            proto::Code::Timeout => Code::Timeout,
            proto::Code::IdTaken => Code::IdTaken,
            proto::Code::BadRequest => Code::BadRequest,
            proto::Code::UnknownCall => Code::UnknownCall,
            proto::Code::NoRoute => Code::NoRoute,
            proto::Code::NotHere => Code::NotHere,
        }
    }
}
