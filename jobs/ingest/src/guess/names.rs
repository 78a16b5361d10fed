//! Names under which exports hold the standard columns, in English, Spanish, French and Portuguese, of ASYCUDA and of the
//! WCO Data Model.
//!
//! Those of ASYCUDA are the columns of ASYCUDA World's tables (`SAD_GENERAL_SEGMENT`, `SAD_ITEM`) and the elements of its
//! XML, as public programs that read them have them; those of the WCO Data Model are elements of declaration messages of
//! its version 3. Start at [`score`].

/// The names of a column, as [`plain`] writes them.
const NAMES: [(&str, &[&str]); 46] = [
    (
        "declaration_id",
        &[
            "declarationid",
            "declarationnumber",
            "declarationno",
            "decl",
            "declaration",
            "declno",
            "declid",
            "entryno",
            "entrynumber",
            "mrn",
            "dua",
            "numerodua",
            "duanumero",
            "numerodeclaracion",
            "numdeclaracion",
            "declaracion",
            "numerodeclaration",
            "numdeclaration",
            "numerodeclaracao",
            "declaracao",
            "ideregnbr",
            "regnumber",
            "registrationnumber",
            "customsreference",
            "sadid",
        ],
    ),
    (
        "item_number",
        &[
            "itemnumber",
            "itemno",
            "item",
            "keyitmnbr",
            "itemnbr",
            "linenumber",
            "line",
            "sequencenumeric",
            "numeroitem",
            "numitem",
            "articulo",
            "article",
            "numeroarticle",
            "adicao",
            "partida",
            "rang",
        ],
    ),
    (
        "acceptance_date",
        &[
            "acceptancedate",
            "acceptancedatetime",
            "date",
            "day",
            "declarationdate",
            "regdate",
            "registrationdate",
            "assessmentdate",
            "fecha",
            "fechadeclaracion",
            "fechaaceptacion",
            "fechanumeracion",
            "datedeclaration",
            "dateenregistrement",
            "dateacceptation",
            "data",
            "dataregistro",
            "datadeclaracao",
            "ideregdat",
        ],
    ),
    (
        "office",
        &[
            "office",
            "officecode",
            "customsoffice",
            "declarationoffice",
            "aduana",
            "codigoaduana",
            "bureau",
            "bureaudouane",
            "alfandega",
            "idecuocod",
            "customsclearanceofficecode",
            "port",
        ],
    ),
    (
        "declaration_type",
        &[
            "declarationtype",
            "typecode",
            "type",
            "tipo",
            "tipodeclaracion",
            "typedeclaration",
            "tipodeclaracao",
            "model",
            "idetypsad",
            "typeofdeclaration",
        ],
    ),
    (
        "procedure",
        &[
            "procedure",
            "procedurecode",
            "cpc",
            "currentcode",
            "regimen",
            "regime",
            "regimedouanier",
            "extendedprocedure",
            "tarprcext",
            "extendedcustomsprocedure",
        ],
    ),
    ("goods_use", &["goodsuse", "use", "importuse"]),
    (
        "payment_method",
        &["paymentmethod", "methodcode", "modepaiement", "mododepago", "formapago", "payment"],
    ),
    (
        "importer",
        &[
            "importer",
            "importerid",
            "importertin",
            "consignee",
            "consigneetin",
            "importador",
            "importateur",
            "destinataire",
            "consignatario",
            "rucimportador",
            "cmpconcod",
            "consigneecode",
            "tin",
        ],
    ),
    (
        "declarant",
        &[
            "declarant",
            "declarantid",
            "broker",
            "agent",
            "declarante",
            "despachante",
            "agenteaduana",
            "commissionnaire",
            "transitaire",
            "deccod",
            "declarantcode",
        ],
    ),
    (
        "exporter",
        &[
            "exporter",
            "exporterid",
            "seller",
            "supplier",
            "exportador",
            "exportateur",
            "proveedor",
            "fournisseur",
            "cmpexpcod",
            "exportercode",
        ],
    ),
    ("carrier", &["carrier", "carrierid", "transportista", "transporteur", "transportador", "courier"]),
    (
        "origin",
        &[
            "origin",
            "origincountry",
            "countryoforigin",
            "countrycode",
            "origen",
            "paisorigen",
            "paysorigine",
            "origine",
            "paisorigem",
            "origem",
            "gdsorgcty",
            "countryoforigincode",
        ],
    ),
    (
        "departure",
        &[
            "departure",
            "departurecountry",
            "exportcountry",
            "countryofexport",
            "paisprocedencia",
            "procedencia",
            "paysprovenance",
            "provenance",
            "paisprocedencia",
        ],
    ),
    (
        "transport_mode",
        &[
            "transportmode",
            "modeoftransport",
            "modecode",
            "mode",
            "mot",
            "viatransporte",
            "modetransport",
            "modotransporte",
        ],
    ),
    (
        "hs_code",
        &[
            "hscode",
            "hs",
            "hs6",
            "hs8",
            "hs10",
            "code",
            "commoditycode",
            "commodity",
            "tariff",
            "tariffcode",
            "classificationid",
            "partidaarancelaria",
            "subpartida",
            "posicionarancelaria",
            "nomenclature",
            "codesh",
            "positiontarifaire",
            "ncm",
            "codigoncm",
            "tarhscnb1",
            "htscode",
            "cncode",
        ],
    ),
    (
        "description",
        &[
            "description",
            "goodsdescription",
            "goods",
            "text",
            "descripcion",
            "descripcioncomercial",
            "mercancia",
            "designation",
            "designationcommerciale",
            "libelle",
            "descricao",
            "mercadoria",
            "gdsds3",
            "gdsdsc",
            "descriptionofgoods",
            "commercialdescription",
        ],
    ),
    ("preference", &["preference", "preferencecode", "dutyregimecode", "tratado", "preferencia", "acuerdo"]),
    (
        "net_mass",
        &[
            "netmass",
            "netweight",
            "netkg",
            "netnetweightmeasure",
            "mass",
            "weight",
            "pesoneto",
            "poidsnet",
            "massenette",
            "pesoliquido",
            "vitwgtnet",
            "netweightitm",
            "kg",
            "kgs",
        ],
    ),
    (
        "gross_mass",
        &[
            "grossmass",
            "grossweight",
            "grosskg",
            "grossmassmeasure",
            "pesobruto",
            "poidsbrut",
            "vitwgtgrs",
            "grossweightitm",
        ],
    ),
    (
        "quantity",
        &[
            "quantity",
            "qty",
            "supplementaryquantity",
            "tariffquantity",
            "cantidad",
            "quantite",
            "quantidade",
            "tarsupqty",
        ],
    ),
    (
        "quantity_unit",
        &["quantityunit", "unit", "uom", "unidad", "unite", "unidade", "unitcode", "tarsupcod"],
    ),
    (
        "invoice_value",
        &[
            "invoicevalue",
            "invoiceamount",
            "itemchargeamount",
            "itemprice",
            "fob",
            "fobvalue",
            "valorfob",
            "valorfactura",
            "valeurfacture",
            "valorfatura",
        ],
    ),
    (
        "invoice_currency",
        &["invoicecurrency", "currency", "currencycode", "cur", "moneda", "devise", "moeda"],
    ),
    (
        "customs_value",
        &[
            "customsvalue",
            "value",
            "cif",
            "cifvalue",
            "statisticalvalue",
            "valoraduana",
            "valorcif",
            "valeurendouane",
            "valeur",
            "valeurcaf",
            "valoraduaneiro",
            "valor",
            "customsvalueamount",
            "vitstv",
            "totalcifitm",
        ],
    ),
    (
        "duty_rate",
        &[
            "dutyrate",
            "tariffrate",
            "taxratenumeric",
            "tasa",
            "taux",
            "aliquota",
            "advalorem",
            "tauxdd",
            "tauxdroit",
        ],
    ),
    (
        "duty_amount",
        &[
            "dutyamount",
            "duty",
            "duties",
            "taxassessedamount",
            "derechos",
            "droit",
            "droits",
            "droitsdedouane",
            "impostoimportacao",
            "dutypaid",
        ],
    ),
    ("tax_rate", &["taxrate", "vatrate", "tva", "tauxtva"]),
    ("tax_amount", &["taxamount", "tax", "taxes", "vat", "iva", "impuestos", "montanttva", "impostos"]),
    (
        "channel",
        &[
            "channel",
            "lane",
            "colour",
            "color",
            "canal",
            "circuit",
            "couloir",
            "selectivity",
            "selectivitylane",
        ],
    ),
    (
        "inspected",
        &[
            "inspected",
            "inspection",
            "examined",
            "inspeccion",
            "inspeccionado",
            "visite",
            "controle",
            "inspecionado",
            "controlled",
        ],
    ),
    (
        "illicit",
        &[
            "illicit",
            "fraud",
            "crimefraud",
            "offence",
            "infraction",
            "infraccion",
            "bad",
            "hit",
            "irregular",
            "fraude",
        ],
    ),
    (
        "additional_revenue",
        &["additionalrevenue", "revenue", "additionalduty", "recovered", "ajuste", "redressement"],
    ),
    (
        "random_inspection",
        &[
            "randominspection",
            "randomselection",
            "inspeccionaleatoria",
            "visitealeatoire",
            "selectionaleatoire",
            "inspecaoaleatoria",
        ],
    ),
    (
        "version",
        &[
            "version",
            "versionid",
            "versionnumber",
            "amendment",
            "amendmentnumber",
            "numeroversion",
            "rectificacion",
            "rectification",
            "versao",
            "retificacao",
        ],
    ),
    (
        "case_id",
        &[
            "caseid",
            "case",
            "caseconceptname",
            "consignment",
            "shipment",
            "declaration",
            "declarationid",
            "dossier",
            "expediente",
            "processo",
        ],
    ),
    (
        "event",
        &[
            "event",
            "activity",
            "conceptname",
            "step",
            "milestone",
            "evento",
            "actividad",
            "etape",
            "atividade",
            "status",
        ],
    ),
    (
        "event_time",
        &[
            "eventtime",
            "time",
            "timestamp",
            "timetimestamp",
            "datetime",
            "when",
            "completetimestamp",
            "fechahora",
            "horodatage",
            "datahora",
            "date",
        ],
    ),
    ("start_time", &["starttime", "starttimestamp", "begin", "begun", "inicio", "debut"]),
    ("lifecycle", &["lifecycle", "lifecycletransition", "transition", "status"]),
    ("agency", &["agency", "authority", "orgrole", "organismo", "organisme", "orgao"]),
    ("actor", &["actor", "resource", "orgresource", "user", "officer", "usuario", "agent", "funcionario"]),
    ("direction", &["direction", "flow", "flujo", "flux", "sentido"]),
    ("aeo", &["aeo", "oea", "authorisedeconomicoperator"]),
    ("goods", &["goods", "goodscategory", "category"]),
    ("container", &["container", "containerno", "vehicle", "contenedor", "conteneur"]),
];

/// A title in small letters and digits, without accents.
pub(super) fn plain(title: &str) -> String {
    title
        .chars()
        .flat_map(char::to_lowercase)
        .map(|character| match character {
            'á' | 'à' | 'â' | 'ã' | 'ä' => 'a',
            'é' | 'è' | 'ê' | 'ë' => 'e',
            'í' | 'ì' | 'î' | 'ï' => 'i',
            'ó' | 'ò' | 'ô' | 'õ' | 'ö' => 'o',
            'ú' | 'ù' | 'û' | 'ü' => 'u',
            'ç' => 'c',
            'ñ' => 'n',
            other => other,
        })
        .filter(char::is_ascii_alphanumeric)
        .collect()
}

/// How well a title names a standard column: 0 is not at all.
pub(super) fn score(column: &str, title: &str) -> u32 {
    let title = plain(title);
    if title == plain(column) {
        return 20;
    }
    let names =
        NAMES.iter().filter(|(name, _)| *name == column).flat_map(|(_, names)| names.iter().enumerate());
    let scores = names.map(|(place, name)| {
        // The first names are the usual ones; a short one inside a title says little.
        let place = u32::try_from(place).unwrap_or(u32::MAX).min(5);
        match () {
            () if title == **name => 16 - place,
            () if name.len() > 5 && title.contains(*name) => 8,
            () => 0,
        }
    });
    scores.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_of_several_languages_name_columns() {
        for (column, titles) in [
            ("hs_code", ["HS Code", "Partida arancelaria", "Position tarifaire", "NCM"]),
            ("origin", ["Country of Origin", "País origen", "Pays d'origine (code)", "País de origem"]),
            ("net_mass", ["Net weight", "Peso neto", "Poids net", "Peso líquido"]),
        ] {
            let found = titles.iter().filter(|title| score(column, title) > 0).count();
            assert!(found >= 3, "{column}: {found}");
        }
        for (column, of_asycuda) in [
            ("declaration_id", "IDE_REG_NBR"),
            ("acceptance_date", "IDE_REG_DAT"),
            ("office", "IDE_CUO_COD"),
            ("importer", "CMP_CON_COD"),
            ("declarant", "DEC_COD"),
            ("item_number", "KEY_ITM_NBR"),
            ("hs_code", "TAR_HSC_NB1"),
            ("origin", "GDS_ORG_CTY"),
            ("net_mass", "VIT_WGT_NET"),
            ("gross_mass", "Gross_weight_itm"),
            ("customs_value", "VIT_STV"),
        ] {
            assert!(score(column, of_asycuda) >= 11, "{column}: {of_asycuda}");
        }
        assert_eq!(score("hs_code", "colour"), 0);
        assert!(score("customs_value", "customs_value") > score("customs_value", "value"));
    }
}
