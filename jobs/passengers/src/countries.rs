//! Country codes: the three letters of ISO 3166-1 for the two or three that a message has.

/// Two letters and three letters of each country of ISO 3166-1, in the order of the two.
const CODES: &str = "\
    ADAND AEARE AFAFG AGATG AIAIA ALALB AMARM ANANT AOAGO AQATA ARARG ASASM ATAUT AUAUS AWABW AXALA \
    AZAZE BABIH BBBRB BDBGD BEBEL BFBFA BGBGR BHBHR BIBDI BJBEN BLBLM BMBMU BNBRN BOBOL BQBES BRBRA \
    BSBHS BTBTN BVBVT BWBWA BYBLR BZBLZ CACAN CCCCK CDCOD CFCAF CGCOG CHCHE CKCOK CLCHL CMCMR CNCHN \
    COCOL CRCRI CUCUB CVCPV CWCUW CXCXR CYCYP CZCZE DEDEU DJDJI DKDNK DMDMA DODOM DZDZA ECECU EEEST \
    EGEGY EHESH ERERI ESESP ETETH FIFIN FJFJI FKFLK FMFSM FOFRO FRFRA GAGAB GBGBR GDGRD GEGEO GFGUF \
    GGGGY GHGHA GIGIB GLGRL GMGMB GNGIN GPGLP GQGNQ GRGRC GSSGS GTGTM GUGUM GWGNB GYGUY HKHKG HMHMD \
    HNHND HRHRV HTHTI HUHUN IDIDN IEIRL ILISR IMIMN ININD IOIOT IQIRQ IRIRN ISISL ITITA JEJEY JMJAM \
    JOJOR JPJPN KEKEN KGKGZ KHKHM KIKIR KMCOM KNKNA KPPRK KRKOR KWKWT KYCYM KZKAZ LALAO LBLBN LCLCA \
    LILIE LKLKA LRLBR LSLSO LTLTU LULUX LVLVA LYLBY MAMAR MCMCO MDMDA MEMNE MFMAF MGMDG MHMHL MKMKD \
    MLMLI MMMMR MNMNG MOMAC MPMNP MQMTQ MRMRT MSMSR MTMLT MUMUS MVMDV MWMWI MXMEX MYMYS MZMOZ NANAM \
    NCNCL NENER NFNFK NGNGA NINIC NLNLD NONOR NPNPL NRNRU NUNIU NZNZL OMOMN PAPAN PEPER PFPYF PGPNG \
    PHPHL PKPAK PLPOL PMSPM PNPCN PRPRI PSPSE PTPRT PWPLW PYPRY QAQAT REREU ROROU RSSRB RURUS RWRWA \
    SASAU SBSLB SCSYC SDSDN SESWE SGSGP SHSHN SISVN SJSJM SKSVK SLSLE SMSMR SNSEN SOSOM SRSUR SSSSD \
    STSTP SVSLV SWSXM SYSYR SZSWZ TCTCA TDTCD TFATF TGTGO THTHA TJTJK TKTKL TLTLS TMTKM TNTUN TOTON \
    TRTUR TTTTO TVTUV TWTWN TZTZA UAUKR UGUGA UMUMI USUSA UYURY UZUZB VAVAT VCVCT VEVEN VGVGB VIVIR \
    VNVNM VUVUT WFWLF WSWSM YEYEM YTMYT ZAZAF ZMZMB ZWZWE";

/// Codes of travel documents that are no country (ICAO Doc 9303, part 3, section 5).
const OTHERS: [&str; 19] = [
    "D", "EUE", "GBD", "GBN", "GBO", "GBP", "GBS", "RKS", "UNA", "UNK", "UNO", "UTO", "XBA", "XOM", "XPO",
    "XXA", "XXB", "XXC", "XXX",
];

/// The code in three letters, and whether it is known. Germany's `D` is `DEU`; an unknown code stays as it is.
#[must_use]
pub fn country(code: &str) -> (String, bool) {
    let code = code.trim().to_ascii_uppercase();
    match code.as_bytes() {
        [b'D'] => ("DEU".to_owned(), true),
        [a, b] => match place(b'A', *a, *b).map_or([0; 3], |at| THREE[at]) {
            [0, ..] => (code, false),
            three => (three.into_iter().map(char::from).collect(), true),
        },
        [a, b, c] => {
            let known = place(*a, *b, *c).is_some_and(|at| KNOWN[at / 64] >> (at % 64) & 1 == 1);
            let known = known || OTHERS.contains(&code.as_str());
            (code, known)
        }
        _ => (code, false),
    }
}

/// A bit for each three letters that are a country.
const KNOWN: [u64; 275] = {
    let mut known = [0; 275];
    let codes = CODES.as_bytes();
    let mut at = 0;
    while at + 5 <= codes.len() {
        if let Some(place) = place(codes[at + 2], codes[at + 3], codes[at + 4]) {
            known[place / 64] |= 1 << (place % 64);
        }
        at += 6;
    }
    known
};

/// The three letters of each two letters that are a country; zeros for others.
const THREE: [[u8; 3]; 676] = {
    let mut three = [[0; 3]; 676];
    let codes = CODES.as_bytes();
    let mut at = 0;
    while at + 5 <= codes.len() {
        if let Some(place) = place(b'A', codes[at], codes[at + 1]) {
            three[place] = [codes[at + 2], codes[at + 3], codes[at + 4]];
        }
        at += 6;
    }
    three
};

/// The place of three capital letters among all; that of two is theirs after an A.
const fn place(a: u8, b: u8, c: u8) -> Option<usize> {
    if !a.is_ascii_uppercase() || !b.is_ascii_uppercase() || !c.is_ascii_uppercase() {
        return None;
    }
    Some(((a - b'A') as usize * 26 + (b - b'A') as usize) * 26 + (c - b'A') as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_two_letters_become_three() {
        for (code, expected) in [("kr", "KOR"), ("KOR", "KOR"), ("D", "DEU"), ("GBD", "GBD"), (" CO", "COL")]
        {
            assert_eq!(country(code), (expected.to_owned(), true));
        }
        assert_eq!(country("QQQ"), ("QQQ".to_owned(), false));
    }
}
